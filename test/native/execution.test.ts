import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { clipSchema, createSchedule, diffusionSchema } from '../../lib/diffusion/diffusion-options.js'
import { resolvePrediction } from '../../lib/diffusion/predictions/list.js'
import type {
  ExecutionHandle,
  NativeExecutionOptions,
  NativeProgress,
  NetworkHandle,
} from '../../lib/native/binding.js'
import { loadBinding } from '../../lib/native/load.js'
import { encodeProgram, type Instruction, type Program } from '../../lib/sampling/program.js'
import { type ReferenceNetwork, runReference } from '../../lib/sampling/reference-executor.js'
import { parseSampler, recordSampler, type SamplerOptions } from '../../lib/sampling/samplers.js'
import { randomProgram } from '../unit/random-program.js'
import { contextOf, guidedBy } from '../unit/record-context.js'
import { createTensor, holdHandles, takeFloats } from './handles.js'
import { createTinyUnet, drawImages, runForward, tinyElements, tinyImage } from './tiny-unet.js'

const held = holdHandles()
const imageShape = [tinyImage.channels, tinyImage.height, tinyImage.width] as const
const classes = 3

interface Run {
  readonly program: Program
  readonly inputs: Readonly<Record<string, ArrayLike<number>>>
  readonly samples: readonly number[]
  readonly seed?: number
  readonly chunk?: number
  readonly classes?: Int32Array | null
}

async function createExecution(networks: readonly NetworkHandle[], run: Run): Promise<ExecutionHandle> {
  const shape = [run.samples.length, ...imageShape]
  const inputs = Object.keys(run.program.inputs).map((name) => createTensor(held, run.inputs[name] ?? [], shape))
  const options: NativeExecutionOptions = {
    seed: run.seed ?? 4,
    samples: Float64Array.from(run.samples),
    chunk: run.chunk ?? run.samples.length,
    classes: run.classes ?? null,
    image: null,
  }
  return held(await loadBinding().executionCreate(networks, encodeProgram(run.program), inputs, options, 'float32'))
}

async function runToEnd(networks: readonly NetworkHandle[], run: Run): Promise<Float32Array> {
  const execution = await createExecution(networks, run)
  const { done } = await loadBinding().executionAdvance(execution, Number.POSITIVE_INFINITY, null, null)
  expect(done).toBe(true)
  return takeFloats(await loadBinding().executionRead(execution, 'output'))
}

/** The same network for the float64 executor. */
function referenceNetwork(
  networks: readonly NetworkHandle[],
  count: number,
  given: Int32Array | null,
  nullClass: number | null,
): ReferenceNetwork {
  return (x, cNoise, condition, index) => {
    const indices =
      condition === 'given' && given ? given : nullClass === null ? null : new Int32Array(count).fill(nullClass)
    const network = networks[index]
    if (!network) throw new RangeError(`no network ${index}`)
    const labels = new Float64Array(count).fill(cNoise)
    return runForward(held, network, { values: x, shape: [count, ...imageShape] }, labels, indices)
  }
}

function largestDifference(actual: ArrayLike<number>, wanted: ArrayLike<number>): number {
  expect(actual).toHaveLength(wanted.length)
  let largest = 0
  for (let i = 0; i < wanted.length; i++) {
    const value = wanted[i] ?? 0
    largest = Math.max(largest, Math.abs((actual[i] ?? Number.NaN) - value) / Math.max(1, Math.abs(value)))
  }
  return largest
}

test('random programs over two networks give what the float64 executor gives', async () => {
  const networks = [await createTinyUnet(held, { classes }), await createTinyUnet(held, { classes, seed: 2 })]
  const programs = randomProgram({ shapes: [imageShape], networks: 2, maximumInstructions: 12 })
  await fc.assert(
    fc.asyncProperty(programs, fc.integer({ min: 1, max: 5 }), async ({ program, inputs, samples, seed }, chunk) => {
      const given = Int32Array.from(samples, (sample) => sample % classes)
      const actual = await runToEnd(networks, {
        program,
        inputs,
        samples: Array.from(samples),
        seed,
        chunk,
        classes: given,
      })
      const network = referenceNetwork(networks, samples.length, given, classes)
      const { output } = await runReference(program, { network, inputs, shape: imageShape, samples, seed })
      expect(largestDifference(actual, output)).toBeLessThan(1e-5)
    }),
    { numRuns: 60, seed: 7 },
  )
})

function recordRun(sampler: SamplerOptions, steps: number, guidance: number | null = null): Program {
  const schedule = createSchedule(diffusionSchema.parse({ schedule: { kind: 'cosine', steps: 100 } }).schedule)
  return recordSampler(
    parseSampler(sampler),
    contextOf(
      schedule,
      { steps },
      {
        prediction: resolvePrediction('velocity', schedule),
        clip: clipSchema.parse({ kind: 'range' }),
        ...guidedBy(guidance),
      },
    ),
  )
}

const ddpm: SamplerOptions = { kind: 'ddpm' }
const runs: readonly (readonly [SamplerOptions, number, number | null])[] = [
  [ddpm, 100, null],
  [ddpm, 7, null],
  [{ kind: 'ddim', eta: 0 }, 10, null],
  [{ kind: 'ddim', eta: 0.5 }, 5, null],
  [{ kind: 'ddim', eta: 1 }, 20, null],
  [{ kind: 'ddim', eta: 0 }, 6, 2.5],
]

test.each(runs)('%j in %i steps with guidance %s follows the float64 executor', async (sampler, steps, scale) => {
  const network = await createTinyUnet(held, { classes })
  const samples = [3, 0, 12]
  const given = scale === null ? null : Int32Array.of(0, 2, 1)
  const program = recordRun(sampler, steps, scale)
  const inputs = { x: drawImages(3) }
  const actual = await runToEnd([network], { program, inputs, samples, chunk: 2, classes: given })
  const reference = referenceNetwork([network], 3, given, classes)
  const { output } = await runReference(program, { network: reference, inputs, shape: imageShape, samples, seed: 4 })
  expect(largestDifference(actual, output)).toBeLessThan(1e-5)
})

const both = (first: 'given' | 'null', x: number): Instruction[] => [
  { op: 'evaluate', out: 1, x: 0, network: 0, condition: first, cIn: 0.5, cNoise: 7 },
  { op: 'evaluate', out: 2, x, network: 0, condition: first === 'given' ? 'null' : 'given', cIn: 0.5, cNoise: 7 },
]

test.each<readonly [string, readonly Instruction[]]>([
  ['the null class behind the given one', both('given', 0)],
  ['the given class behind none', both('null', 0)],
  ['what the first gave', both('given', 1)],
])('two evaluations in a row: %s', async (_, evaluations) => {
  const network = await createTinyUnet(held, { classes })
  const samples = [3, 0, 12]
  const given = Int32Array.of(0, 2, 1)
  const sum: Instruction = {
    op: 'combine',
    out: 0,
    terms: [
      [3, 1],
      [-2, 2],
    ],
  }
  const instructions = [...evaluations, sum]
  const program: Program = {
    version: 1,
    name: 'two',
    registers: 3,
    inputs: { x: 0 },
    output: 0,
    steps: 0,
    instructions,
  }
  const inputs = { x: drawImages(3) }
  const reference = referenceNetwork([network], 3, given, classes)
  const { output } = await runReference(program, { network: reference, inputs, shape: imageShape, samples, seed: 4 })
  for (const chunk of [1, 2, 3, 5, 33]) {
    const actual = await runToEnd([network], { program, inputs, samples, chunk, classes: given })
    expect(largestDifference(actual, output)).toBeLessThan(1e-5)
  }
})

test('an evaluation in its own place, and one of what it gave', async () => {
  const network = await createTinyUnet(held, { classes })
  const given = Int32Array.of(0, 2)
  const run = (instructions: readonly Instruction[], output: number, x: ArrayLike<number>): Promise<Float32Array> => {
    const program: Program = { version: 1, name: 'own', registers: 2, inputs: { x: 0 }, output, steps: 0, instructions }
    return runToEnd([network], { program, inputs: { x }, samples: [0, 1], classes: given })
  }
  const evaluate = (out: number, condition: 'given' | 'null'): Instruction => {
    return { op: 'evaluate', out, x: 0, network: 0, condition, cIn: 1, cNoise: 7 }
  }
  const first = await run([evaluate(1, 'null')], 1, drawImages(2))
  const second = await run([evaluate(1, 'given')], 1, first)
  expect(await run([evaluate(0, 'null'), evaluate(1, 'given')], 1, drawImages(2))).toEqual(second)
})

test('a sample is the same bytes in any batch, in any order, at a fixed chunk', async () => {
  const network = await createTinyUnet(held, { classes })
  const program = recordRun(ddpm, 10, 1.5)
  const samples = Array.from({ length: 16 }, (_, n) => n)
  const images = drawImages(16)
  const runOf = (chosen: readonly number[]): Promise<Float32Array> => {
    const x = new Float32Array(chosen.length * tinyElements)
    chosen.forEach((sample, n) => {
      x.set(images.subarray(sample * tinyElements, (sample + 1) * tinyElements), n * tinyElements)
    })
    return runToEnd([network], {
      program,
      inputs: { x },
      samples: chosen,
      chunk: 4,
      classes: Int32Array.from(chosen, (s) => s % 3),
    })
  }
  const whole = await runOf(samples)
  const imageOf = (result: Float32Array, n: number) =>
    Buffer.from(result.slice(n * tinyElements, (n + 1) * tinyElements).buffer).toString('hex')
  const splits = [
    [samples.slice(0, 8), samples.slice(8)],
    samples.map((sample) => [sample]),
    [samples.toSorted((a, b) => ((a * 7) % 16) - ((b * 7) % 16))],
    [samples.slice(0, 5), samples.slice(5, 6), samples.slice(6)],
  ]
  for (const split of splits) {
    for (const chosen of split) {
      const part = await runOf(chosen)
      for (const [n, sample] of chosen.entries()) expect(imageOf(part, n)).toBe(imageOf(whole, sample))
    }
  }
})

describe('advance', () => {
  test('in segments gives the bytes of one run, and shows every emit on the way', async () => {
    const network = await createTinyUnet(held)
    const program = recordRun({ kind: 'ddim', eta: 1 }, 12)
    const run = { program, inputs: { x: drawImages(2) }, samples: [0, 1] }
    const wanted = await runToEnd([network], run)
    const execution = await createExecution([network], run)
    const binding = loadBinding()
    const seen: number[] = []
    for (let done = false, emits = 1; !done; emits = (emits % 3) + 1) {
      const progress = await binding.executionAdvance(execution, emits, null, null)
      done = progress.done
      seen.push(progress.step)
      expect(progress.evaluations).toBe(progress.step)
      const clean = await takeFloats(await binding.executionRead(execution, 'clean'))
      expect(clean.every((value) => Math.abs(value) <= 1)).toBe(true)
    }
    expect(seen).toEqual([1, 3, 6, 7, 9, 12])
    expect(await takeFloats(await binding.executionRead(execution, 'output'))).toEqual(wanted)
    expect(await takeFloats(await binding.executionRead(execution, 'x'))).toEqual(wanted)
  })

  test('tells its listener of every emit, in order, before it settles', async () => {
    const network = await createTinyUnet(held)
    const execution = await createExecution([network], {
      program: recordRun(ddpm, 30),
      inputs: { x: drawImages(1) },
      samples: [0],
    })
    const seen: NativeProgress[] = []
    await loadBinding().executionAdvance(execution, Number.POSITIVE_INFINITY, (progress) => seen.push(progress), null)
    expect(seen).toEqual(Array.from({ length: 30 }, (_, i) => ({ step: i + 1, evaluations: i + 1 })))
  })

  test('rejects with what its listener throws, and ends the run', async () => {
    const network = await createTinyUnet(held)
    const execution = await createExecution([network], {
      program: recordRun(ddpm, 100),
      inputs: { x: drawImages(8) },
      samples: [0, 1, 2, 3, 4, 5, 6, 7],
    })
    let calls = 0
    const listener = () => {
      calls += 1
      throw new RangeError('on purpose')
    }
    const advance = loadBinding().executionAdvance(execution, Number.POSITIVE_INFINITY, listener, null)
    await expect(advance).rejects.toThrow(new RangeError('on purpose'))
    expect(calls).toBe(1)
  })

  test('refuses to go on after a cancellation', async () => {
    const binding = loadBinding()
    const network = await createTinyUnet(held)
    const execution = await createExecution([network], {
      program: recordRun(ddpm, 100),
      inputs: { x: drawImages(1) },
      samples: [0],
    })
    const cancellation = held(binding.cancellationCreate())
    const advance = binding.executionAdvance(
      execution,
      Number.POSITIVE_INFINITY,
      () => binding.cancel(cancellation),
      cancellation,
    )
    await expect(advance).rejects.toMatchObject({ code: 'DPM_ABORTED' })
    await expect(binding.executionAdvance(execution, 1, null, null)).rejects.toThrow('cannot go on')
  })
})

describe('classes of a run', () => {
  const program = recordRun(ddpm, 3, 2)
  const inputs = { x: drawImages(2) }

  test('out of range are refused before it starts', async () => {
    const network = await createTinyUnet(held, { classes })
    const run = createExecution([network], { program, inputs, samples: [0, 1], classes: Int32Array.of(0, 4) })
    await expect(run).rejects.toMatchObject({
      code: 'DPM_INVALID_ARGUMENT',
      message: 'Expected a whole number from 0 to 3 for `classes[1]` but received 4. 3 is the null class.',
    })
  })
  test('guide only a network with a null class', async () => {
    const network = await createTinyUnet(held, { classes, settings: { nullClass: false } })
    const run = createExecution([network], { program, inputs, samples: [0, 1], classes: Int32Array.of(0, 1) })
    await expect(run).rejects.toThrow('the network has no null class')
  })
  test('out of range are refused by a forward pass, too', async () => {
    const network = await createTinyUnet(held, { classes, settings: { nullClass: false } })
    const forward = (index: number) =>
      runForward(
        held,
        network,
        { values: drawImages(1), shape: [1, ...imageShape] },
        Float64Array.of(1),
        Int32Array.of(index),
      )
    await forward(2)
    await expect(forward(3)).rejects.toThrow('Expected a whole number from 0 to 2 for `classes[0]` but received 3.')
  })
})
