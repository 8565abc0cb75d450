/** Instructions one by one, each against its formula in float64, and the run that stops for a guide. */
import { describe, expect, test } from 'vitest'
import { type Guide, ProgramRun, type ProgramRunOptions } from '../../lib/generation/program-run.js'
import type { NetworkHandle } from '../../lib/native/binding.js'
import { loadBinding } from '../../lib/native/load.js'
import { encodeProgram, type Instruction, type Program } from '../../lib/sampling/program.js'
import { Tensor } from '../../lib/tensor/tensor.js'
import { holdHandles } from './handles.js'
import { createTinyUnet, drawImages, tinyElements, tinyImage } from './tiny-unet.js'

const held = holdHandles()
const inputNames = ['x', 'mask', 'known'] as const

/** A program over registers 0 … 4, of which 0, 1, 2 are inputs; it gives register 4. */
function programOf(instructions: readonly Instruction[]): Program {
  const inputs = { x: 0, mask: 1, known: 2 }
  const steps = instructions.filter(({ op }) => op === 'emit').length
  return { version: 1, name: 'test', registers: 5, inputs, output: 4, steps, instructions }
}

async function startRun(
  network: NetworkHandle,
  program: Program,
  samples: readonly number[],
  options: Partial<ProgramRunOptions> = {},
): Promise<ProgramRun> {
  const inputs: Record<string, Tensor> = {}
  for (const [k, name] of inputNames.entries()) inputs[name] = imagesOf(samples, k)
  const common = {
    seed: 4,
    samples: Float64Array.from(samples),
    chunk: 2,
    classes: null,
    precision: 'float32',
  } as const
  try {
    return await ProgramRun.create([network], program, inputs, { ...common, ...options })
  } finally {
    for (const tensor of Object.values(inputs)) tensor.dispose()
  }
}

/** Input k of each sample: a function of both alone. Sample 7 is zero. */
function valuesOf(sample: number, k: number): Float32Array {
  if (sample === 7) return new Float32Array(tinyElements)
  return drawImages(sample + 1, tinyElements, 11 + k).subarray(sample * tinyElements)
}

function imagesOf(samples: readonly number[], k: number): Tensor {
  const values = Float32Array.from(samples.flatMap((sample) => Array.from(valuesOf(sample, k))))
  return Tensor.from(values, [samples.length, tinyImage.channels, tinyImage.height, tinyImage.width])
}

async function take(run: ProgramRun, which: 'x' | 'clean' | 'output' = 'output'): Promise<Float32Array> {
  using tensor = await run.read(which)
  return tensor.data()
}

async function outputOf(instructions: readonly Instruction[], samples: readonly number[]): Promise<Float32Array> {
  using run = await startRun(await createTinyUnet(held), programOf(instructions), samples)
  expect(await run.advance()).toEqual({ done: true, step: 0, evaluations: 0 })
  return take(run)
}

const samples = [0, 3, 7, 1, 12]
const flat = (k: number) => samples.flatMap((sample) => Array.from(valuesOf(sample, k)))

function expectClose(actual: ArrayLike<number>, wanted: readonly number[], tolerance: number): void {
  expect(actual).toHaveLength(wanted.length)
  wanted.forEach((value, i) => {
    const distance = Math.abs((actual[i] ?? Number.NaN) - value)
    expect(distance, `element ${i}`).toBeLessThanOrEqual(tolerance * Math.abs(value))
  })
}

test('multiply is the product of elements, rounded once', async () => {
  const product = await outputOf([{ op: 'multiply', out: 4, a: 0, b: 1 }], samples)
  expect(Array.from(product)).toEqual(flat(0).map((value, i) => Math.fround(value * (flat(1)[i] ?? 0))))
})

test('exponential is exp(scale x + shift) to the last bit of float32', async () => {
  const powers = await outputOf([{ op: 'exponential', out: 4, x: 0, scale: -0.5, shift: 0.25 }], samples)
  expectClose(
    powers,
    flat(0).map((value) => Math.exp(-0.5 * value + 0.25)),
    2 ** -24,
  )
})

const measures = {
  norm: (values: Float32Array) => Math.hypot(...values),
  deviation: (values: Float32Array) => {
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length
    return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1))
  },
} as const

describe.each(['norm', 'deviation'] as const)('the ratio of %ss', (measure) => {
  const ratio = { op: 'ratio', out: 4, a: 0, b: 1, measure, factor: 0.7, power: -1.5 } as const

  test.each([1, 2, -1.5])("to the power %d is each sample's own, and 0 where the divisor is 0", async (power) => {
    const shifted: Instruction = {
      op: 'combine',
      out: 3,
      terms: [
        [1, 0],
        [0.25, 1],
      ],
    }
    const output = await outputOf([shifted, { ...ratio, a: 3, power }], samples)
    samples.forEach((sample, n) => {
      const b = valuesOf(sample, 1)
      const a = valuesOf(sample, 0).map((value, i) => value + 0.25 * (b[i] ?? 0))
      const below = measures[measure](b)
      const wanted = below === 0 ? 0 : 0.7 * (measures[measure](a) / below) ** power
      const of = output.subarray(n * tinyElements, (n + 1) * tinyElements)
      expect(new Set(of).size).toBe(1)
      expectClose(of.subarray(0, 1), [wanted], 1e-6)
    })
  })

  test('over itself is the factor, also in place', async () => {
    const copy: Instruction = { op: 'combine', out: 4, terms: [[1, 0]] }
    const output = await outputOf([copy, { ...ratio, a: 0, b: 4 }], [3])
    expect(new Set(output)).toEqual(new Set([Math.fround(0.7)]))
  })

  test('has the same bytes in any batch and any place', async () => {
    const whole = await outputOf([ratio], samples)
    for (const [n, sample] of samples.entries()) {
      const of = whole.slice(n * tinyElements, (n + 1) * tinyElements)
      expect(await outputOf([ratio], [sample])).toEqual(of)
      expect((await outputOf([ratio], [5, sample, 2])).slice(tinyElements, 2 * tinyElements)).toEqual(of)
    }
  })
})

describe('an emit', () => {
  const emit: Instruction = { op: 'emit', x: 3, clean: 4, step: 1 }
  const twice = (out: number): Instruction => ({ op: 'combine', out, terms: [[2, out]] })
  const copy = (out: number, from: number): Instruction => ({ op: 'combine', out, terms: [[1, from]] })

  test('shows what it saw, whatever later instructions do with its registers', async () => {
    const later: readonly (readonly Instruction[])[] = [
      [twice(3), twice(4)],
      [
        { op: 'clip', out: 3, x: 3, low: -0.1, high: 0.1 },
        { op: 'blend', out: 4, mask: 1, a: 4, b: 4 },
      ],
      [
        { op: 'noise', out: 3, step: 1, purpose: 1 },
        { op: 'multiply', out: 4, a: 4, b: 4 },
      ],
      [
        { op: 'exponential', out: 3, x: 3, scale: 1, shift: 0 },
        { op: 'threshold', out: 4, x: 4, quantile: 0.5, low: 1, high: 2 },
      ],
      [{ op: 'ratio', out: 3, a: 3, b: 4, measure: 'norm', factor: 1, power: 1 }, copy(4, 3)],
      [{ op: 'evaluate', out: 3, x: 3, network: 0, condition: 'given', cIn: 1, cNoise: 1 }, copy(4, 3)],
    ]
    const network = await createTinyUnet(held)
    for (const instructions of later) {
      const plain = [copy(3, 0), copy(4, 1), ...instructions]
      const shown = [copy(3, 0), copy(4, 1), emit, ...instructions]
      using without = await startRun(network, programOf(plain), samples)
      using run = await startRun(network, programOf(shown), samples)
      await without.advance()
      expect((await run.advance()).done).toBe(true)
      expect(Array.from(await take(run, 'x'))).toEqual(flat(0))
      expect(Array.from(await take(run, 'clean'))).toEqual(flat(1))
      expect(await take(run)).toEqual(await take(without))
    }
  })
})

describe('a guide', () => {
  const emit = (step: number): Instruction => ({ op: 'emit', x: 4, clean: 0, step })
  const level = { time: 3, alpha: 0.8, sigma: 0.6 }
  const ask = (guide: number): Instruction => ({ op: 'guide', out: 3, x: 0, guide, ...level })
  const program = programOf([
    { op: 'combine', out: 0, terms: [[2, 0]] },
    ask(1),
    {
      op: 'combine',
      out: 4,
      terms: [
        [1, 3],
        [1, 1],
      ],
    },
    emit(1),
    ask(0),
    {
      op: 'combine',
      out: 4,
      terms: [
        [1, 4],
        [1, 3],
      ],
    },
    emit(2),
  ])
  const scaled =
    (scale: number, seen: unknown[] = []): Guide =>
    async (x, where) => {
      seen.push(where)
      return Tensor.from(
        (await x.data()).map((value) => scale * value),
        x.shape,
      )
    }

  test('is asked at its level about its register, and the run goes on with its answer', async () => {
    const seen: unknown[] = []
    const guides = [scaled(0.5, seen), scaled(-0.25, seen)]
    using run = await startRun(await createTinyUnet(held), program, samples, { guides })
    expect(await run.advance()).toEqual({ done: true, step: 2, evaluations: 0 })
    const asked = { ...level, places: samples.map((_, place) => place) }
    expect(seen).toEqual([asked, asked])
    const wanted = flat(0).map((value, i) => Math.fround(Math.fround(-0.5 * value + (flat(1)[i] ?? 0)) + value))
    expect(Array.from(await take(run))).toEqual(wanted)
  })

  test('does not count as a step', async () => {
    using run = await startRun(await createTinyUnet(held), program, samples, { guides: [scaled(1), scaled(1)] })
    expect(await run.advance(1)).toEqual({ done: false, step: 1, evaluations: 0 })
    expect(await run.advance(1)).toEqual({ done: true, step: 2, evaluations: 0 })
  })

  test('may give back the very tensor that it was asked about', async () => {
    const same: Guide = async (x) => x
    using run = await startRun(await createTinyUnet(held), program, [3], { guides: [same, same] })
    expect((await run.advance()).done).toBe(true)
  })

  test.each([
    ['of another shape', () => Tensor.from(new Float32Array(3), [1, 3, 1, 1])],
    ['of another type', () => Tensor.from(new Float64Array(tinyElements), [1, 3, 8, 8])],
  ])('that answers with a tensor %s is refused, and may answer again', async (_, answer) => {
    let calls = 0
    const guide: Guide = async (x) => (calls++ === 0 ? answer() : x)
    using run = await startRun(await createTinyUnet(held), program, [3], { guides: [guide, guide] })
    await expect(run.advance()).rejects.toThrow("Expected a float32 tensor of x's shape from guide 1")
    expect((await run.advance()).done).toBe(true)
    expect(calls).toBe(3)
  })

  test('that was not given is named before the run', async () => {
    const run = startRun(await createTinyUnet(held), program, [3], { guides: [scaled(1)] })
    await expect(run).rejects.toMatchObject({
      code: 'DPM_INVALID_ARGUMENT',
      message: expect.stringContaining('guide 1'),
    })
  })

  test('what it throws is what the run rejects with', async () => {
    const failing: Guide = async () => {
      throw new RangeError('on purpose')
    }
    using run = await startRun(await createTinyUnet(held), program, [3], { guides: [failing, failing] })
    await expect(run.advance()).rejects.toThrow(new RangeError('on purpose'))
  })

  test('must be answered, once, before the run goes on', async () => {
    const binding = loadBinding()
    const execution = await rawExecution()
    const x = imagesOf([3], 0)
    held(x.handle)
    await expect(binding.executionAnswer(execution, x.handle)).rejects.toThrow('not waiting for a guide')
    await expect(binding.executionRead(execution, 'guide')).rejects.toThrow('not waiting for a guide')
    const stop = await binding.executionAdvance(execution, 9, null, null)
    const none = { done: false, step: 0, evaluations: 0, emits: 0 }
    expect(stop).toEqual({ ...none, networkSeconds: expect.any(Number), guide: { guide: 1, ...level } })
    await expect(binding.executionAdvance(execution, 1, null, null)).rejects.toMatchObject({
      code: 'DPM_INVALID_ARGUMENT',
      message: expect.stringContaining('waits for the answer of guide 1'),
    })
    await binding.executionAnswer(execution, x.handle)
    await expect(binding.executionAnswer(execution, x.handle)).rejects.toThrow('not waiting for a guide')
    expect(await binding.executionAdvance(execution, 1, null, null)).toMatchObject({ step: 1, emits: 1, guide: null })
  })

  async function rawExecution() {
    const inputs = inputNames.map((_, k) => held(imagesOf([3], k).handle))
    const options = { seed: 1, samples: Float64Array.of(3), chunk: 1, classes: null, image: null }
    const network = await createTinyUnet(held)
    return held(await loadBinding().executionCreate([network], encodeProgram(program), inputs, options, 'float32'))
  }
})

test('an input that was not given is named', async () => {
  const network = await createTinyUnet(held)
  const options = { seed: 4, samples: Float64Array.of(0), chunk: 1, classes: null, precision: 'float32' } as const
  const run = ProgramRun.create([network], programOf([]), {}, options)
  await expect(run).rejects.toThrow('needs the input `x`')
})
