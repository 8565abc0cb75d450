/**
 * A sampler's recorded run: a flat list of instructions over numbered registers. It is plain JSON; the native loop reads
 * the same list as numbers ({@link encodeProgram}), and `reference-executor.ts` runs it in float64.
 *
 * A register holds a whole batch of x's shape. The recorder gives every value its own register and then reuses those
 * whose last use is past, so `registers` is the number of buffers that a run needs.
 */
import { DpmError } from '../errors.js'

/** A register's number. */
export type Register = number

/** Which condition the network is given: the run's own classes, or the null class of classifier-free guidance. */
export type Condition = 'given' | 'null'

/** Size of a sample in a `ratio`. */
export const measures = ['norm', 'deviation'] as const
export type Measure = (typeof measures)[number]

export type Instruction =
  /**
   * out = network(cIn * x, label cNoise, condition): the network's bare output. Of a network with learned variance that is
   * the first half of its channels; the second half goes to `variance`, where somebody reads it.
   */
  | {
      readonly op: 'evaluate'
      readonly out: Register
      readonly variance?: Register
      readonly x: Register
      readonly network: number
      readonly condition: Condition
      readonly cIn: number
      readonly cNoise: number
    }
  /** out = sum of coefficient * register. */
  | { readonly op: 'combine'; readonly out: Register; readonly terms: readonly (readonly [number, Register])[] }
  /** out = standard normals, keyed by (seed, purpose, step, sample index, element). */
  | { readonly op: 'noise'; readonly out: Register; readonly step: number; readonly purpose: number }
  /** out = x limited to [low, high]. */
  | { readonly op: 'clip'; readonly out: Register; readonly x: Register; readonly low: number; readonly high: number }
  /**
   * Dynamic threshold (Imagen, arXiv 2205.11487 §2.3): per sample s = the quantile of |x|, at least `low`, at most `high`;
   * out = clip(x, -s, s) / s * low.
   */
  | {
      readonly op: 'threshold'
      readonly out: Register
      readonly x: Register
      readonly quantile: number
      readonly low: number
      readonly high: number
    }
  /** out = mask * a + (1 - mask) * b, element by element. */
  | {
      readonly op: 'blend'
      readonly out: Register
      readonly mask: Register
      readonly a: Register
      readonly b: Register
    }
  /** out = a * b, element by element. */
  | { readonly op: 'multiply'; readonly out: Register; readonly a: Register; readonly b: Register }
  /** out = exp(scale * x + shift), element by element. */
  | {
      readonly op: 'exponential'
      readonly out: Register
      readonly x: Register
      readonly scale: number
      readonly shift: number
    }
  /**
   * Every element of a sample = factor * (m(a) / m(b)) ^ power, with m the L2 norm over the sample, or its standard
   * deviation (unbiased); 0 where m(b) is 0. A sample's number depends on that sample alone.
   */
  | {
      readonly op: 'ratio'
      readonly out: Register
      readonly a: Register
      readonly b: Register
      readonly measure: Measure
      readonly factor: number
      readonly power: number
    }
  /** out = the gradient of the run's guide of this number at x, at a level of the schedule. */
  | {
      readonly op: 'guide'
      readonly out: Register
      readonly x: Register
      readonly guide: number
      readonly time: number
      readonly alpha: number
      readonly sigma: number
    }
  /** A point that progress, previews and `sampleSteps` see: the current x and the current clean prediction. */
  | { readonly op: 'emit'; readonly x: Register; readonly clean: Register; readonly step: number }

export interface Program {
  readonly version: 1
  /** The sampler that recorded it. */
  readonly name: string
  readonly registers: number
  /** Registers that hold the run's inputs at the start, by name: `x`, and for some samplers `mask`, `known`. */
  readonly inputs: Readonly<Record<string, Register>>
  readonly instructions: readonly Instruction[]
  readonly output: Register
  /** Number of emit instructions: the steps that progress counts. */
  readonly steps: number
}

export { noisePurposes } from '../random/purposes.js'

/** Operation codes of the encoded form; `native/engine/program.h` has the same list. */
export const opcodes = {
  evaluate: 1,
  combine: 2,
  noise: 3,
  clip: 4,
  threshold: 5,
  blend: 6,
  emit: 7,
  multiply: 8,
  exponential: 9,
  ratio: 10,
  guide: 11,
} as const satisfies Record<Instruction['op'], number>

/**
 * The program as the native loop reads it: `[version, registers, output, inputCount, ...inputRegisters,
 * instructionCount]`, then per instruction `[opcode, operandCount, ...operands]` with operands in the order below.
 */
export function encodeProgram(program: Program): Float64Array<ArrayBuffer> {
  const inputs = Object.values(program.inputs)
  const numbers = [
    program.version,
    program.registers,
    program.output,
    inputs.length,
    ...inputs,
    program.instructions.length,
  ]
  for (const instruction of program.instructions) {
    const operands = operandsOf(instruction)
    numbers.push(opcodes[instruction.op], operands.length)
    for (const operand of operands) numbers.push(operand)
  }
  return Float64Array.from(numbers)
}

function operandsOf(i: Instruction): readonly number[] {
  switch (i.op) {
    case 'evaluate':
      return [i.out, i.x, i.network, i.condition === 'given' ? 1 : 0, i.cIn, i.cNoise, i.variance ?? -1]
    case 'combine':
      return [i.out, ...i.terms.flat()]
    case 'noise':
      return [i.out, i.step, i.purpose]
    case 'clip':
      return [i.out, i.x, i.low, i.high]
    case 'threshold':
      return [i.out, i.x, i.quantile, i.low, i.high]
    case 'blend':
      return [i.out, i.mask, i.a, i.b]
    case 'multiply':
      return [i.out, i.a, i.b]
    case 'exponential':
      return [i.out, i.x, i.scale, i.shift]
    case 'ratio':
      return [i.out, i.a, i.b, measures.indexOf(i.measure), i.factor, i.power]
    case 'guide':
      return [i.out, i.x, i.guide, i.time, i.alpha, i.sigma]
    case 'emit':
      return [i.x, i.clean, i.step]
    default:
      throw new DpmError('DPM_INTERNAL', `No encoding for instruction ${JSON.stringify(i satisfies never)}.`)
  }
}
