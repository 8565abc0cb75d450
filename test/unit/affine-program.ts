/**
 * The exact law of x in a program whose network is affine in x: every register is then an offset plus a sum of
 * coefficient · (an input of the run, or one of its draws), which are independent.
 *
 *     const { steps } = runAffine(program, (cNoise) => ({ gain, offset }))
 *     moments(steps[0].x, { x: { mean: 0, variance: 1 } })
 */
import type { Level } from '../../lib/diffusion/schedule.js'
import { purposeOf } from '../../lib/random/purposes.js'
import type { Instruction, Program, Register } from '../../lib/sampling/program.js'
import { type Gaussian, type Moments, variancesAt } from './gaussian.js'

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

/** @throws where an instruction is not affine: a product of two values that both vary, a clip, a ratio. */
export function runAffine(program: Program, network: AffineNetwork): AffineRun {
  const registers = new Map<Register, Affine>()
  const at = (register: Register): Affine => {
    const value = registers.get(register)
    if (!value) throw new Error(`Register ${register} is read before it is written.`)
    return value
  }
  for (const [name, register] of Object.entries(program.inputs)) {
    registers.set(register, { offset: 0, coefficients: new Map([[name, 1]]) })
  }
  const steps: { x: Affine; clean: Affine }[] = []
  const draws = new Set<string>()
  let evaluations = 0
  for (const i of program.instructions) {
    switch (i.op) {
      case 'evaluate': {
        if (i.variance !== undefined) throw new Error('A learned variance is not affine.')
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
        if (draws.has(name)) throw new Error(`Two draws have the key ${name}: they would be the same numbers.`)
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
        throw new Error(`Instruction ${i.op} is not affine.`)
    }
  }
  return { steps, output: at(program.output), evaluations }
}

/** Mean and variance, where the inputs have these laws and every draw is standard normal. */
export function moments({ offset, coefficients }: Affine, inputs: Readonly<Record<string, Moments>>): Moments {
  let [mean, variance] = [offset, 0]
  for (const [name, coefficient] of coefficients) {
    const law = inputs[name] ?? { mean: 0, variance: 1 }
    mean += coefficient * law.mean
    variance += coefficient ** 2 * law.variance
  }
  return { mean, variance }
}

/** The value where the inputs are these numbers and every draw is 0. */
export function valueAt({ offset, coefficients }: Affine, inputs: Readonly<Record<string, number>>): number {
  return [...coefficients].reduce((total, [name, coefficient]) => total + coefficient * (inputs[name] ?? 0), offset)
}

/** The law of x at a level for Gaussian data. */
export function lawAt(data: Gaussian, level: Level): Moments {
  return { mean: level.alpha * data.mean, variance: variancesAt(data, level) }
}

/**
 * The exact denoiser of Gaussian data for a recording that predicts the clean image, and the labels by which it knows any
 * level again, those between the times of a schedule too: give `label` to the record context.
 */
export function gaussianNetwork(data: Gaussian): {
  readonly label: (level: Level) => number
  readonly network: AffineNetwork
} {
  const levels: Level[] = []
  return {
    label: (level) => levels.push(level) - 1,
    network: (cNoise) => {
      const level = levels[cNoise]
      if (!level) throw new Error(`No level has the label ${cNoise}.`)
      const gain = (level.alpha * data.deviation ** 2) / variancesAt(data, level)
      return { gain, offset: data.mean * (1 - gain * level.alpha) }
    },
  }
}

/** Where the probability flow takes x from one level to another: its place in the law of x stays. */
export function exactFlow(data: Gaussian, from: Level, to: Level, x: number): number {
  const place = (x - from.alpha * data.mean) / Math.sqrt(variancesAt(data, from))
  return to.alpha * data.mean + Math.sqrt(variancesAt(data, to)) * place
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
    throw new Error('A product of two values that vary is not affine.')
  return offset
}
