/**
 * The exact law of x in a program whose network is affine in x: every register is then an offset plus a sum of
 * coefficient · (an input of the run, or one of its draws), which are independent. Draws of one key are one number.
 *
 *     const { steps } = runAffine(program, (cNoise) => ({ gain, offset }))
 *     lawOf(steps[0].x, { x: { mean: 0, deviation: 1 } })
 *
 * A ratio of norms is a number where an image has infinitely many elements: the root of the ratio of the elements' mean
 * squares, for which the laws of the inputs are needed.
 */
import { DpmError } from '../../errors.js'
import { purposeOf } from '../../random/purposes.js'
import type { Instruction, Measure, Program, Register } from '../../sampling/program.js'
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

/** A program that is not affine. */
export class NotAffine extends DpmError {
  constructor(message: string) {
    super('DPM_INVALID_ARGUMENT', message)
  }
}

/**
 * @param inputs of the run: a number, such as the mask of what is painted, or the law of each element. One that is left out
 *   is a variable of its own whose law is unknown.
 * @throws NotAffine where an instruction is not affine: a product of two values that both vary, a clip, a ratio of norms of
 *   unknown laws.
 */
export function runAffine(
  program: Program,
  network: AffineNetwork,
  inputs: Readonly<Record<string, number | Moments>> = {},
): AffineRun {
  const registers = new Map<Register, Affine>()
  const at = (register: Register): Affine => {
    const value = registers.get(register)
    if (!value) throw new NotAffine(`Register ${register} is read before it is written.`)
    return value
  }
  for (const [name, register] of Object.entries(program.inputs)) {
    const given = inputs[name]
    registers.set(register, typeof given === 'number' ? fixed(given) : variable(name))
  }
  const size = sizeIn(program, inputs)
  const steps: { x: Affine; clean: Affine }[] = []
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
      case 'noise':
        registers.set(i.out, variable(`${purposeOf(i.purpose)} ${i.step}`))
        break
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
        registers.set(i.out, fixed(Math.exp(i.scale * constant(at(i.x)) + i.shift)))
        break
      case 'ratio':
        registers.set(i.out, fixed(i.factor * (size(i.measure, at(i.a)) / size(i.measure, at(i.b))) ** i.power))
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

function fixed(offset: number): Affine {
  return { offset, coefficients: new Map() }
}

function variable(name: string): Affine {
  return { offset: 0, coefficients: new Map([[name, 1]]) }
}

/** The size of an image of infinitely many elements, over the root of their number. */
function sizeIn(program: Program, inputs: Readonly<Record<string, number | Moments>>) {
  const laws: Record<string, Moments> = {}
  for (const [name, law] of Object.entries(inputs)) if (typeof law !== 'number') laws[name] = law
  const unknown = Object.keys(program.inputs).filter((name) => inputs[name] === undefined)
  return (measure: Measure, value: Affine): number => {
    const missing = unknown.find((name) => value.coefficients.has(name))
    if (missing !== undefined) throw new NotAffine(`A ratio of norms needs the law of the input ${missing}.`)
    const { mean, deviation } = lawOf(value, laws)
    return measure === 'norm' ? Math.hypot(mean, deviation) : deviation
  }
}

function shift({ offset, coefficients }: Affine, by: number): Affine {
  return { offset: offset + by, coefficients }
}

function constant({ offset, coefficients }: Affine): number {
  if ([...coefficients.values()].some((one) => one !== 0))
    throw new NotAffine('A product of two values that vary is not affine.')
  return offset
}
