/**
 * The exact law of x in a program whose network is affine in x: every register is then an offset plus a sum of
 * coefficient · (an input of the run, or one of its draws), which are independent.
 *
 *     const { steps } = runAffine(program, (cNoise) => ({ gain, offset }))
 *     lawOf(steps[0].x, { x: { mean: 0, deviation: 1 } })
 */
import { DpmError } from '../../errors.js'
import { purposeOf } from '../../random/purposes.js'
import type { Instruction, Program, Register } from '../../sampling/program.js'
import type { Moments } from './analytic-data.js'

export interface Affine {
  readonly offset: number
  /** By name of an input (`x`), or of a draw (`step 3`, `churn 0`). */
  readonly coefficients: ReadonlyMap<string, number>
}

/** The network's output at a label: gain · (cIn x) + offset. */
export type AffineNetwork = (
  cNoise: number,
  evaluation: Pick<Extract<Instruction, { op: 'evaluate' }>, 'network' | 'condition'>,
) => { readonly gain: number; readonly offset: number }

export interface AffineRun {
  /** What every emit shows: entry i is x at level i + 1. */
  readonly steps: readonly { readonly x: Affine; readonly clean: Affine }[]
  readonly output: Affine
  readonly evaluations: number
}

/** A program that is not affine, or whose draws are not independent. */
export class NotAffine extends DpmError {
  constructor(message: string) {
    super('DPM_INVALID_ARGUMENT', message)
  }
}

/**
 * @param constants inputs that are a number and not a law, such as the mask of what is painted
 * @throws NotAffine where an instruction is not affine: a product of two values that both vary, a clip, a ratio.
 */
export function runAffine(
  program: Program,
  network: AffineNetwork,
  constants: Readonly<Record<string, number>> = {},
): AffineRun {
  const registers = new Map<Register, Affine>()
  const at = (register: Register): Affine => {
    const value = registers.get(register)
    if (!value) throw new NotAffine(`Register ${register} is read before it is written.`)
    return value
  }
  for (const [name, register] of Object.entries(program.inputs)) {
    const constantInput = constants[name]
    registers.set(
      register,
      constantInput === undefined
        ? { offset: 0, coefficients: new Map([[name, 1]]) }
        : { offset: constantInput, coefficients: new Map() },
    )
  }
  const steps: { x: Affine; clean: Affine }[] = []
  const draws = new Set<string>()
  let evaluations = 0
  for (const i of program.instructions) {
    switch (i.op) {
      case 'evaluate': {
        if (i.variance !== undefined) throw new NotAffine('A learned variance is not affine.')
        const { gain, offset } = network(i.cNoise, i)
        evaluations += 1
        registers.set(i.out, shift(sum([[gain * i.cIn, at(i.x)]]), offset))
        break
      }
      case 'combine':
        registers.set(i.out, sum(i.terms.map(([coefficient, register]) => [coefficient, at(register)])))
        break
      case 'noise': {
        const name = `${purposeOf(i.purpose)} ${i.step}`
        if (draws.has(name)) throw new NotAffine(`Two draws have the key ${name}: they would be the same numbers.`)
        draws.add(name)
        registers.set(i.out, { offset: 0, coefficients: new Map([[name, 1]]) })
        break
      }
      case 'blend': {
        const mask = constant(at(i.mask))
        registers.set(
          i.out,
          sum([
            [mask, at(i.a)],
            [1 - mask, at(i.b)],
          ]),
        )
        break
      }
      case 'multiply': {
        const [a, b] = [at(i.a), at(i.b)]
        registers.set(i.out, a.coefficients.size === 0 ? sum([[a.offset, b]]) : sum([[constant(b), a]]))
        break
      }
      case 'exponential':
        registers.set(i.out, { offset: Math.exp(i.scale * constant(at(i.x)) + i.shift), coefficients: new Map() })
        break
      case 'emit':
        steps.push({ x: at(i.x), clean: at(i.clean) })
        break
      default:
        throw new NotAffine(`Instruction ${i.op} is not affine.`)
    }
  }
  return { steps, output: at(program.output), evaluations }
}

/** Mean and deviation, where the inputs have these laws and every draw is standard normal. */
export function lawOf({ offset, coefficients }: Affine, inputs: Readonly<Record<string, Moments>>): Moments {
  let [mean, variance] = [offset, 0]
  for (const [name, coefficient] of coefficients) {
    const law = inputs[name] ?? { mean: 0, deviation: 1 }
    mean += coefficient * law.mean
    variance += (coefficient * law.deviation) ** 2
  }
  return { mean, deviation: Math.sqrt(variance) }
}

/** The value where the inputs are these numbers and every draw is 0. */
export function valueAt({ offset, coefficients }: Affine, inputs: Readonly<Record<string, number>>): number {
  return [...coefficients].reduce((total, [name, coefficient]) => total + coefficient * (inputs[name] ?? 0), offset)
}

function sum(terms: readonly (readonly [number, Affine])[]): Affine {
  const coefficients = new Map<string, number>()
  let offset = 0
  for (const [factor, value] of terms) {
    offset += factor * value.offset
    for (const [name, coefficient] of value.coefficients) {
      coefficients.set(name, (coefficients.get(name) ?? 0) + factor * coefficient)
    }
  }
  return { offset, coefficients }
}

function shift({ offset, coefficients }: Affine, by: number): Affine {
  return { offset: offset + by, coefficients }
}

function constant({ offset, coefficients }: Affine): number {
  if ([...coefficients.values()].some((one) => one !== 0))
    throw new NotAffine('A product of two values that vary is not affine.')
  return offset
}
