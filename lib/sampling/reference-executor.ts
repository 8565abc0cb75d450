/**
 * Runs a program in float64, with a network written in JavaScript: what the native executor is compared with, and what lets a
 * caller sample without the addon.
 */
import { DpmError, type DpmErrorCode, expected, throwIfAborted } from '../errors.js'
import { isNumberList } from '../options/number-list.js'
import { normals } from '../random/philox.js'
import { requireRoom } from '../room.js'
import type { Condition, Instruction, Measure, Program, Register } from './program.js'
import { validateProgram } from './validate-program.js'

/**
 * The network's bare output F for a whole batch; of a network with learned variance, F and then v: 2 × N × elements,
 * first F of all samples, then v of all samples.
 * @param x cIn · x, N × elements; the network's own to keep
 * @param cNoise the label of the level's time
 * @param index which of the run's networks
 * @returns N × elements
 */
export type ReferenceNetwork = (
  x: Float64Array,
  cNoise: number,
  condition: Condition,
  index: number,
) => ArrayLike<number> | Promise<ArrayLike<number>>

/** Where a guide is asked. */
export interface ReferenceGuideLevel {
  readonly time: number
  readonly alpha: number
  readonly sigma: number
  /** Which samples of the run x holds: 0 … count-1, N. */
  readonly places: readonly number[]
}

/** The gradient of what is wanted with respect to x, N × elements. */
export type ReferenceGuide = (
  x: Float64Array,
  level: ReferenceGuideLevel,
) => ArrayLike<number> | Promise<ArrayLike<number>>

export interface ReferenceRun {
  readonly network: ReferenceNetwork
  /** The guides that the program's guide instructions name. */
  readonly guides?: readonly ReferenceGuide[] | undefined
  /** The program's inputs by name, N × elements each. */
  readonly inputs: Readonly<Record<string, ArrayLike<number>>>
  /** The shape of one sample, e.g. C, H, W: elements are keyed in this order. */
  readonly shape: readonly number[]
  /** The key of each sample's noise, N: the same index gives the same sample in any batch. */
  readonly samples: ArrayLike<number>
  /** Which samples of a larger run these are, for guides; 0 … N-1 when absent. */
  readonly places?: readonly number[] | undefined
  readonly seed: number
  /** Replaces the keyed normals, N × elements per step. */
  readonly noise?: ((step: number, purpose: number) => ArrayLike<number>) | undefined
  readonly signal?: AbortSignal | undefined
}

/** What an emit instruction shows. The arrays are copies. */
export interface ReferenceStep {
  /** 1 … the program's steps. */
  readonly step: number
  readonly x: Float64Array<ArrayBuffer>
  readonly clean: Float64Array<ArrayBuffer>
}

export interface ReferenceResult {
  /** N × elements. */
  readonly output: Float64Array<ArrayBuffer>
  /** How often the network was asked. */
  readonly evaluations: number
}

/**
 * Runs the program to its end.
 * @throws DpmError DPM_ABORTED, DPM_INVALID_ARGUMENT for arrays of another length and inputs that are not finite, DPM_NON_FINITE
 *   for answers of a network or a guide that are not.
 */
export async function runReference(program: Program, run: ReferenceRun): Promise<ReferenceResult> {
  const steps = referenceSteps(program, run)
  while (true) {
    const next = await steps.next()
    if (next.done) return next.value
  }
}

/** Runs the program step by step: one value per emit instruction; leaving the loop ends the run. */
export async function* referenceSteps(
  program: Program,
  run: ReferenceRun,
): AsyncGenerator<ReferenceStep, ReferenceResult, undefined> {
  validateProgram(program)
  const machine = new Machine(program, run)
  for (const instruction of program.instructions) {
    throwIfAborted(run.signal, 'Sampling')
    if (instruction.op === 'emit') {
      yield { step: instruction.step, x: machine.copy(instruction.x), clean: machine.copy(instruction.clean) }
    } else {
      await machine.run(instruction)
    }
  }
  return { output: machine.copy(program.output), evaluations: machine.evaluations }
}

class Machine {
  readonly #run: ReferenceRun
  readonly #registers: readonly Float64Array<ArrayBuffer>[]
  readonly #elements: number
  readonly #size: number
  readonly #places: readonly number[]
  evaluations = 0

  constructor(program: Program, run: ReferenceRun) {
    this.#run = run
    this.#elements = run.shape.reduce((product, size) => product * size, 1)
    this.#size = this.#elements * run.samples.length
    const bytes = 8 * this.#size * program.registers
    requireRoom(
      bytes,
      `${program.registers} registers of ${run.samples.length} × ${this.#elements} numbers`,
      'Sample fewer at a time.',
    )
    this.#places = run.places ?? Array.from({ length: run.samples.length }, (_, place) => place)
    this.#registers = Array.from({ length: program.registers }, () => new Float64Array(this.#size))
    for (const [name, register] of Object.entries(program.inputs)) {
      const input = run.inputs[name]
      if (!input) {
        throw new DpmError(
          'DPM_INVALID_ARGUMENT',
          `Sampler \`${program.name}\` needs the input \`${name}\`, which is not given.`,
        )
      }
      this.at(register).set(this.#checked(input, name, 'DPM_INVALID_ARGUMENT'))
    }
  }

  at(register: Register): Float64Array<ArrayBuffer> {
    const array = this.#registers[register]
    if (!array) throw new DpmError('DPM_INTERNAL', `Register ${register} does not exist.`)
    return array
  }

  copy(register: Register): Float64Array<ArrayBuffer> {
    return this.at(register).slice()
  }

  async run(i: Exclude<Instruction, { op: 'emit' }>): Promise<void> {
    const out = this.at(i.out)
    switch (i.op) {
      case 'evaluate': {
        const input = this.at(i.x).map((element) => i.cIn * element)
        this.evaluations += 1
        const output = await this.#run.network(input, i.cNoise, i.condition, i.network)
        const name = `output of the network at label ${i.cNoise}`
        if (i.variance === undefined) {
          out.set(this.#checked(output, name, 'DPM_NON_FINITE'))
          return
        }
        const twice = `2 × ${this.#size} numbers, as the sampler needs a learned variance,`
        if (!isNumberList(output))
          throw expected(twice, name, output, output === undefined ? 'Is there a `return`?' : '')
        if (output.length !== 2 * this.#size) throw expected(twice, name, output.length)
        const halves = Float64Array.from(output, Number)
        out.set(this.#checked(halves.subarray(0, this.#size), name, 'DPM_NON_FINITE'))
        this.at(i.variance).set(this.#checked(halves.subarray(this.#size), `variance in the ${name}`, 'DPM_NON_FINITE'))
        return
      }
      case 'combine': {
        const terms = i.terms.map(([coefficient, register]) => [coefficient, this.at(register)] as const)
        for (let element = 0; element < this.#size; element++) {
          let sum = 0
          for (const [coefficient, array] of terms) sum += coefficient * (array[element] ?? 0)
          out[element] = sum
        }
        return
      }
      case 'noise': {
        const { noise, samples, seed } = this.#run
        if (noise) {
          out.set(this.#checked(noise(i.step, i.purpose), `noise of draw ${i.step}`, 'DPM_INVALID_ARGUMENT'))
          return
        }
        for (let n = 0; n < samples.length; n++) {
          out.set(normals(seed, i.purpose, i.step, samples[n] ?? 0, this.#elements), n * this.#elements)
        }
        return
      }
      case 'clip': {
        const x = this.at(i.x)
        for (let element = 0; element < this.#size; element++) out[element] = clamp(x[element] ?? 0, i.low, i.high)
        return
      }
      case 'threshold': {
        const x = this.at(i.x)
        for (let start = 0; start < this.#size; start += this.#elements) {
          const sample = x.subarray(start, start + this.#elements)
          const limit = clamp(quantile(sample.map(Math.abs), i.quantile), i.low, i.high)
          out.set(
            sample.map((element) => (clamp(element, -limit, limit) / limit) * i.low),
            start,
          )
        }
        return
      }
      case 'blend': {
        const [mask, a, b] = [this.at(i.mask), this.at(i.a), this.at(i.b)]
        for (let element = 0; element < this.#size; element++) {
          const share = mask[element] ?? 0
          out[element] = share * (a[element] ?? 0) + (1 - share) * (b[element] ?? 0)
        }
        return
      }
      case 'multiply': {
        const [a, b] = [this.at(i.a), this.at(i.b)]
        for (let element = 0; element < this.#size; element++) out[element] = (a[element] ?? 0) * (b[element] ?? 0)
        return
      }
      case 'exponential': {
        const x = this.at(i.x)
        for (let element = 0; element < this.#size; element++)
          out[element] = Math.exp(i.scale * (x[element] ?? 0) + i.shift)
        return
      }
      case 'ratio': {
        const [a, b] = [this.at(i.a), this.at(i.b)]
        for (let start = 0; start < this.#size; start += this.#elements) {
          const end = start + this.#elements
          const below = measured[i.measure](b.subarray(start, end))
          const above = measured[i.measure](a.subarray(start, end))
          out.fill(below === 0 ? 0 : i.factor * (above / below) ** i.power, start, end)
        }
        return
      }
      case 'guide': {
        const guide = this.#run.guides?.[i.guide]
        if (!guide) {
          throw new DpmError(
            'DPM_INVALID_ARGUMENT',
            `The program asks guide ${i.guide} but the run has ${this.#run.guides?.length ?? 0}. Give \`guides\`.`,
          )
        }
        const { time, alpha, sigma } = i
        const gradient = await guide(this.copy(i.x), { time, alpha, sigma, places: this.#places })
        out.set(this.#checked(gradient, `gradient of guide ${i.guide} at time ${time}`, 'DPM_NON_FINITE'))
        return
      }
      default:
        throw new DpmError('DPM_INTERNAL', `No execution for instruction ${JSON.stringify(i satisfies never)}.`)
    }
  }

  #checked(array: ArrayLike<number>, name: string, code: DpmErrorCode): ArrayLike<number> {
    const wanted = `${this.#run.samples.length} × ${this.#elements} = ${this.#size} numbers`
    if (!isNumberList(array)) throw expected(wanted, name, array, array === undefined ? 'Is there a `return`?' : '')
    if (array.length !== this.#size) throw expected(wanted, name, array.length)
    for (let element = 0; element < this.#size; element++) {
      const value = array[element]
      if (Number.isFinite(value)) continue
      const place = `${this.#places[Math.floor(element / this.#elements)]}, element ${element % this.#elements}`
      throw expected('finite numbers', name, value, `That is sample ${place}.`, code)
    }
    return array
  }
}

const measured = {
  norm: (sample) => Math.sqrt(sample.reduce((sum, element) => sum + element * element, 0)),
  deviation: (sample) => {
    const mean = sample.reduce((sum, element) => sum + element, 0) / sample.length
    const squares = sample.reduce((sum, element) => sum + (element - mean) ** 2, 0)
    return Math.sqrt(squares / Math.max(1, sample.length - 1))
  },
} satisfies Record<Measure, (sample: Float64Array) => number>

function clamp(value: number, low: number, high: number): number {
  return Math.min(Math.max(value, low), high)
}

/** The value below which a share of the numbers lies, interpolated linearly between neighbours as `torch.quantile` does. */
function quantile(numbers: Float64Array, share: number): number {
  const sorted = numbers.sort()
  const position = share * (sorted.length - 1)
  const below = Math.floor(position)
  const lower = sorted[below] ?? 0
  return lower + (position - below) * ((sorted[below + 1] ?? lower) - lower)
}
