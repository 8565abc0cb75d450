/** Random but valid sampling programs, for tests that compare two ways to run one. */
import fc from 'fast-check'
import { noisePurposes } from '../../lib/random/purposes.js'
import type { Instruction, Program } from '../../lib/sampling/program.js'
import { reuseRegisters } from '../../lib/sampling/registers.js'

export interface RandomProgram {
  /** Few registers, as the recorder makes them. */
  readonly program: Program
  /** The same with a register of its own for every value. */
  readonly separate: Program
  /** `x` in about [-2, 2] and `mask` in [0, 1], N × elements; every number is exact in float32. */
  readonly inputs: { readonly x: Float64Array; readonly mask: Float64Array }
  /** Channels, height, width. */
  readonly shape: readonly [number, number, number]
  readonly samples: Float64Array
  readonly seed: number
}

export interface RandomProgramLimits {
  readonly maximumInstructions?: number
  /** Shapes to choose from; small ones of every kind when absent. */
  readonly shapes?: readonly (readonly [number, number, number])[]
  /** How many networks the run has; 1 when absent. */
  readonly networks?: number
}

/**
 * Coefficients of a sum add up to at most 1.25 in size, and thresholds are at least 0.5, so that values neither vanish nor
 * explode and float32 can follow.
 */
export function randomProgram(limits: RandomProgramLimits = {}): fc.Arbitrary<RandomProgram> {
  const { maximumInstructions = 20, networks = 1 } = limits
  const size = fc.integer({ min: 1, max: 4 })
  const shape = limits.shapes ? fc.constantFrom(...limits.shapes) : fc.tuple(fc.integer({ min: 1, max: 3 }), size, size)
  return fc
    .record({
      shape,
      seed: fc.maxSafeNat(),
      samples: fc.uniqueArray(fc.nat({ max: 100_000 }), { minLength: 1, maxLength: 4 }),
      drafts: fc.array(draft(networks), { minLength: 1, maxLength: maximumInstructions }),
      output: fc.nat(),
      numbers: fc.infiniteStream(fc.integer({ min: -512, max: 512 })),
    })
    .map(({ shape, seed, samples, drafts, output, numbers }) => {
      const separate = assemble(drafts, output)
      const elements = samples.length * shape[0] * shape[1] * shape[2]
      const stream = (scale: (number: number) => number): Float64Array =>
        Float64Array.from({ length: elements }, () => scale(numbers.next().value ?? 0))
      return {
        program: reuseRegisters(separate),
        separate,
        inputs: { x: stream((number) => number / 256), mask: stream((number) => (number + 512) / 1024) },
        shape,
        samples: Float64Array.from(samples),
        seed,
      }
    })
}

/** An instruction whose operands are still numbers to be taken modulo the values that exist. */
interface Draft {
  readonly op: Instruction['op']
  readonly picks: readonly number[]
  readonly coefficients: readonly number[]
  readonly step: number
  readonly network: number
  readonly given: boolean
}

function draft(networks: number): fc.Arbitrary<Draft> {
  return fc.record({
    op: fc.constantFrom<Instruction['op']>(
      'evaluate',
      'combine',
      'combine',
      'noise',
      'clip',
      'threshold',
      'blend',
      'multiply',
      'exponential',
      'ratio',
      'emit',
    ),
    picks: fc.array(fc.nat(), { minLength: 4, maxLength: 4 }),
    coefficients: fc.array(fc.integer({ min: -320, max: 320 }), { minLength: 1, maxLength: 4 }),
    step: fc.nat({ max: 1000 }),
    network: fc.nat({ max: networks - 1 }),
    given: fc.boolean(),
  })
}

function assemble(drafts: readonly Draft[], output: number): Program {
  const inputs = { x: 0, mask: 1 }
  let values = 2
  let steps = 0
  const instructions = drafts.map(({ op, picks, coefficients, step, network, given }): Instruction => {
    // What an exponential reads must not grow: one of the inputs.
    const bounded = (picks[3] ?? 0) % 2
    const [x = 0, a = 0, b = 0] = picks.map((pick) => pick % values)
    if (op === 'emit') {
      steps += 1
      return { op, x, clean: a, step: steps }
    }
    const out = values
    const low = 0.5 + (a % 4) / 4
    const made = {
      evaluate: () =>
        ({
          op: 'evaluate',
          out,
          x,
          network,
          condition: given ? 'given' : 'null',
          cIn: 0.5 + (b % 8) / 8,
          cNoise: step,
        }) as const,
      combine: () =>
        ({
          op: 'combine',
          out,
          terms: coefficients.map((c, k) => [c / 256 / coefficients.length, (picks[k] ?? 0) % values] as const),
        }) as const,
      noise: () => ({ op: 'noise', out, step, purpose: noisePurposes.step }) as const,
      clip: () => ({ op: 'clip', out, x, low: -low, high: 1 }) as const,
      threshold: () => ({ op: 'threshold', out, x, quantile: 0.25 + (b % 4) / 4, low, high: low + 1 }) as const,
      blend: () => ({ op: 'blend', out, mask: inputs.mask, a, b }) as const,
      multiply: () => ({ op: 'multiply', out, a: inputs.mask, b: a }) as const,
      exponential: () => ({ op: 'exponential', out, x: bounded, scale: ((b % 8) - 4) / 8, shift: -0.5 }) as const,
      ratio: () =>
        ({
          op: 'ratio',
          out,
          a,
          b: inputs.x,
          measure: b % 2 ? 'norm' : 'deviation',
          factor: 1 / 32,
          power: 1,
        }) as const,
    } satisfies Record<Exclude<Instruction['op'], 'emit' | 'guide'>, () => Instruction>
    const instruction = made[op as keyof typeof made]()
    values += 1
    return instruction
  })
  return { version: 1, name: 'random', registers: values, inputs, instructions, output: output % values, steps }
}
