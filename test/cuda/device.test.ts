/**
 * The GPU against the CPU. On a machine without a CUDA device these are skipped, with the reason in the title; nothing
 * else in the house says that CUDA works.
 */
import { describe, expect, test } from 'vitest'
import type { NativeBatch, NetworkHandle, TensorHandle } from '../../lib/native/binding.js'
import { rowFields } from '../../lib/native/binding.js'
import { findAddon, loadBinding, loadedLibtorch } from '../../lib/native/load.js'
import { encodeProgram, type Instruction, noisePurposes, type Program } from '../../lib/sampling/program.js'
import { createTensor, type Held, holdHandles, takeFloats } from '../native/handles.js'
import { drawImages, tinyElements, tinyUnetSettings } from '../native/tiny-unet.js'
import { noBound } from '../native/training-batch.js'
import { distance } from '../parity/network-fixture.js'

const cuda = 'cuda:0'
const reason = await whySkipped()
if (reason !== null) console.info(`test/cuda/device.test.ts is skipped: ${reason}`)

async function whySkipped(): Promise<string | null> {
  if ((await loadBinding().cudaDeviceCount()) > 0) return null
  return `libtorch finds no CUDA device (addon ${findAddon().entry}, libtorch ${loadedLibtorch()?.root}, ${loadedLibtorch()?.flavour})`
}

const held = holdHandles()
const shape = [3, 3, 8, 8] as const

/** Both answers to the same question, the CPU's first. */
async function onBoth<Answer>(ask: (device: string) => Promise<Answer>): Promise<[Answer, Answer]> {
  return [await ask('cpu'), await ask(cuda)]
}

function bytes(values: Float32Array): Buffer {
  return Buffer.from(values.buffer, values.byteOffset, values.byteLength)
}

function createNetwork(device: string, settings: Parameters<typeof tinyUnetSettings>[0] = {}): Promise<NetworkHandle> {
  return loadBinding().networkCreate('unet', tinyUnetSettings(settings), 1, device).then(held)
}

describe.skipIf(reason !== null)(reason === null ? 'on a CUDA device' : `on a CUDA device (skipped: ${reason})`, () => {
  test.each([1, 4, 7])('normals have the bits of the CPU: %i elements', async (elements) => {
    const [ours, theirs] = await onBoth(async (device) => {
      const examples = Float64Array.of(0, 1, 49_999, 4_294_967_295)
      return takeFloats(
        await loadBinding().randomNormal(2 ** 40 + 5, noisePurposes.step, 17, examples, [4, elements, 31], device),
      )
    })
    expect(bytes(theirs).equals(bytes(ours))).toBe(true)
  })

  test.each([1, 2, 3, 16])('a sum of %i registers and its noise have the bits of the CPU', async (terms) => {
    const inputs = 2
    const noise = (out: number): Instruction => ({ op: 'noise', out, step: out, purpose: noisePurposes.step })
    const registers = Array.from({ length: 16 }, (_, k) => k)
    const program = programOf([
      ...registers.slice(inputs).map(noise),
      {
        op: 'combine',
        out: 16,
        terms: registers.slice(0, terms).map((register) => [0.7 - 0.3 * register, register] as const),
      },
    ])
    const [ours, theirs] = await onBoth((device) => runProgram(held, device, program, inputs))
    expect(bytes(theirs).equals(bytes(ours))).toBe(true)
  })

  test('clip, threshold and blend agree with the CPU', async () => {
    const program = programOf([
      { op: 'clip', out: 2, x: 0, low: -0.5, high: 0.75 },
      { op: 'threshold', out: 3, x: 1, quantile: 0.9, low: 1, high: 3 },
      { op: 'blend', out: 16, mask: 2, a: 3, b: 0 },
    ])
    const [ours, theirs] = await onBoth((device) => runProgram(held, device, program, 2))
    expect(distance(theirs, ours).largest).toBeLessThan(1e-6)
  })

  // The output of a network whose last layer is zero is zero: what is left of the loss is the target, drawn and mixed.
  test.each(['l2', 'l1', 'huber'] as const)('the noise step and the %s loss agree with the CPU', async (loss) => {
    const [ours, theirs] = await onBoth(async (device) => {
      const training = await createTraining(device, { settings: { zeroLayers: 'zero' } })
      return [...(await loadBinding().trainingStep(training, batchOf(held, { loss }), null)).losses]
    })
    expect(ours.every((value) => value > 0.01)).toBe(true)
    theirs.forEach((value, n) => void expect(Math.abs(value / (ours[n] ?? 0) - 1)).toBeLessThan(1e-12))
  })

  test('the U-Net gives the output and the gradients of the CPU', async () => {
    const [ours, theirs] = await onBoth(async (device) => {
      const binding = loadBinding()
      const network = await createNetwork(device, { classes: 5 })
      const x = createTensor(held, drawImages(shape[0]), shape)
      const pass = held(
        await binding.networkForward(
          network,
          x,
          Float64Array.of(3, 500, 999),
          Int32Array.of(0, 4, 2),
          null,
          true,
          'float32',
          null,
        ),
      )
      const output = await takeFloats(binding.passOutput(pass))
      const direction = createTensor(held, drawImages(shape[0], tinyElements, 12), shape)
      const { input, parameters } = await binding.passBackward(pass, direction)
      const gradients = [await takeFloats(input)]
      for (const parameter of parameters) gradients.push(await takeFloats(parameter))
      return { output, gradients }
    })
    expect(distance(theirs.output, ours.output).l2).toBeLessThan(1e-4)
    expect(theirs.gradients).toHaveLength(ours.gradients.length)
    theirs.gradients.forEach((gradient, i) => {
      expect(distance(gradient, ours.gradients[i] ?? []).l2, `gradient ${i}`).toBeLessThan(1e-3)
    })
  })

  test('bfloat16 stays within its eight bits of float32', async () => {
    const binding = loadBinding()
    const network = await createNetwork(cuda)
    const x = createTensor(held, drawImages(shape[0]), shape)
    const labels = Float64Array.of(3, 500, 999)
    const [exact, rounded] = await Promise.all(
      ['float32', 'bfloat16'].map(async (precision) => {
        const pass = held(await binding.networkForward(network, x, labels, null, null, false, precision, null))
        return takeFloats(binding.passOutput(pass))
      }),
    )
    const { l2 } = distance(rounded ?? [], exact ?? [])
    expect(l2).toBeGreaterThan(1e-5)
    expect(l2).toBeLessThan(5e-2)
  })

  test('training steps, with dropout, classes and averaging, follow the CPU', async () => {
    const [ours, theirs] = await onBoth((device) => trainSteps(device, 3))
    expect(theirs.losses.length).toBe(ours.losses.length)
    expect(distance(theirs.losses, ours.losses).l2).toBeLessThan(1e-4)
    expect(distance(theirs.norms, ours.norms).l2).toBeLessThan(1e-4)
    expect([...theirs.tensors.keys()]).toEqual([...ours.tensors.keys()])
    for (const [name, values] of theirs.tensors) {
      expect(distance(values, ours.tensors.get(name) ?? []).l2, name).toBeLessThan(1e-3)
    }
  })

  test('the same steps give the same bits again', async () => {
    const first = await trainSteps(cuda, 3)
    const second = await trainSteps(cuda, 3)
    expect(second.losses).toEqual(first.losses)
    for (const [name, values] of second.tensors) {
      expect(bytes(values).equals(bytes(first.tensors.get(name) ?? new Float32Array())), name).toBe(true)
    }
  })

  test('a loss that is not finite leaves the weights alone', async () => {
    const training = await createTraining(cuda)
    const before = await readTraining(training)
    const images = createTensor(held, drawImages(shape[0]).fill(Number.NaN, 70, 71), shape)
    const report = await loadBinding().trainingStep(training, { ...batchOf(held, {}), images }, null)
    expect(report.finite).toBe(false)
    expect(await readTraining(training)).toEqual(before)
  })

  test('a sampling run follows the CPU, and a sample is the same in any batch', async () => {
    const instructions = [0, 1, 2, 3, 4].flatMap((step): Instruction[] => [
      { op: 'evaluate', out: 2, x: 0, network: 0, condition: 'given', cIn: 0.8, cNoise: 200 * step },
      { op: 'noise', out: 3, step, purpose: noisePurposes.step },
      {
        op: 'combine',
        out: 0,
        terms: [
          [0.9, 0],
          [-0.2, 2],
          [0.1, 3],
        ],
      },
      { op: 'emit', x: 0, clean: 2, step },
    ])
    const program = programOf([...instructions, { op: 'combine', out: 16, terms: [[1, 0]] }])
    const [ours, theirs] = await onBoth((device) => runProgram(held, device, program, 2))
    expect(distance(theirs, ours).l2).toBeLessThan(1e-3)
    const alone = await runProgram(held, cuda, program, 2, [1])
    expect(bytes(alone).equals(bytes(theirs.subarray(tinyElements, 2 * tinyElements)))).toBe(true)
  })

  test('memory is given back: a thousand tensors of 256 MiB, one after another', async () => {
    for (let i = 0; i < 1000; i++) {
      const tensor = await loadBinding().randomNormal(
        1,
        noisePurposes.initial,
        i,
        Float64Array.of(i),
        [1, 1 << 26],
        cuda,
      )
      loadBinding().dispose(tensor)
    }
    expect(loadBinding().memory().bytes).toBe(0)
  }, 300_000)

  test('a tensor that no device holds, and a device that is not there, are errors with a code', async () => {
    const draw = (extent: number, device: string) =>
      loadBinding().randomNormal(1, noisePurposes.initial, 0, Float64Array.of(0), [1, extent], device)
    await expect(draw(2 ** 42, cuda)).rejects.toMatchObject({ code: 'DPM_OUT_OF_MEMORY' })
    await expect(draw(1, 'cuda:99')).rejects.toMatchObject({ code: 'DPM_DEVICE_UNAVAILABLE' })
  })
})

test.skipIf(reason === null)('without a CUDA device, asking for one is an error that names the cure', async () => {
  const asked = loadBinding().randomNormal(1, noisePurposes.initial, 0, Float64Array.of(0), [1, 1], 'cuda')
  await expect(asked).rejects.toMatchObject({
    code: 'DPM_DEVICE_UNAVAILABLE',
    message: expect.stringContaining('doctor'),
  })
})

/** Inputs in registers 0 and 1, output in register 16. */
function programOf(instructions: readonly Instruction[]): Program {
  const steps = instructions.filter(({ op }) => op === 'emit').length
  return { version: 1, name: 'test', registers: 17, inputs: { x: 0, other: 1 }, instructions, output: 16, steps }
}

/** The program's output for the samples with these indices. */
async function runProgram(
  hold: Held,
  device: string,
  program: Program,
  inputs: number,
  samples: readonly number[] = [0, 1, 2],
): Promise<Float32Array> {
  const binding = loadBinding()
  const network = await createNetwork(device)
  const tensors = Array.from({ length: inputs }, (_, k): TensorHandle => {
    const all = drawImages(shape[0], tinyElements, 20 + k)
    const chosen = samples.flatMap((n) => [...all.subarray(n * tinyElements, (n + 1) * tinyElements)])
    return createTensor(hold, chosen, [samples.length, ...shape.slice(1)])
  })
  const options = { seed: 9, samples: Float64Array.from(samples), chunk: 4, classes: null, image: null }
  const execution = hold(await binding.executionCreate([network], encodeProgram(program), tensors, options, 'float32'))
  await binding.executionAdvance(execution, Number.MAX_SAFE_INTEGER, null, null)
  return takeFloats(await binding.executionRead(execution, 'output'))
}

async function createTraining(device: string, network: Parameters<typeof tinyUnetSettings>[0] = {}) {
  const settings = {
    // An epsilon of 1 keeps the update a smooth function of the gradient: near 0 Adam's own is its sign.
    ...{ optimizer: 'adamw', beta1: 0.9, beta2: 0.99, epsilon: 1, weightDecay: 0.01 },
    ...{ clipNorm: 1, averages: 2, precision: 'float32', activationCheckpointing: false },
  }
  return held(await loadBinding().trainingCreate(await createNetwork(device, network), settings))
}

interface BatchChoice {
  readonly loss?: NativeBatch['loss']
  readonly classes?: Int32Array
  readonly step?: number
}

function batchOf(hold: Held, { loss = 'l2', classes, step = 1 }: BatchChoice): NativeBatch {
  const rows = [0.9, 0.5, 0.2].map((alpha, n) => {
    const sigma = Math.sqrt(1 - alpha * alpha)
    return {
      alpha,
      sigma,
      cIn: 1,
      cNoise: 300 * n,
      targetClean: 0.1 * n,
      targetNoise: 1,
      weight: 1 + n,
      ...noBound,
    } as const
  })
  return {
    images: createTensor(
      hold,
      Array.from({ length: 3 * tinyElements }, (_, i) => (i * 37 + step) % 256),
      shape,
      'uint8',
    ),
    classes: classes ?? null,
    condition: null,
    rows: Float64Array.from(rows.flatMap((row) => rowFields.map((field) => row[field]))),
    examples: Float64Array.of(7, 40_000, 2),
    epochs: Float64Array.of(0, 3, step),
    noiseExamples: null,
    noiseEpochs: null,
    forwardStep: null,
    seed: 12345,
    total: 3,
    loss,
    lossScale: 1,
    detachMean: false,
    rowGradients: false,
    first: true,
    update: { learningRate: 0.05, step, averagingDecays: [0.9, 0.5] },
  }
}

async function readTraining(training: Awaited<ReturnType<typeof createTraining>>): Promise<Map<string, Float32Array>> {
  const values = new Map<string, Float32Array>()
  for (const { name } of loadBinding().trainingTensors(training)) {
    values.set(name, await takeFloats(await loadBinding().trainingRead(training, name)))
  }
  return values
}

/** A few updates from the same start, and all that they left. */
async function trainSteps(device: string, steps: number) {
  const training = await createTraining(device, { classes: 4, settings: { dropout: 0.3 } })
  const losses: number[] = []
  const norms: number[] = []
  for (let step = 1; step <= steps; step++) {
    const batch = batchOf(held, { classes: Int32Array.of(0, 3, 1), step })
    const report = await loadBinding().trainingStep(training, batch, null)
    expect(report.finite).toBe(true)
    losses.push(...report.losses)
    norms.push(report.gradientNorm)
  }
  return { losses, norms, tensors: await readTraining(training) }
}
