/** Laws that every network keeps, whatever it is made of. A new network is a row of `tiny`. */
import { describe, expect, test } from 'vitest'
import { createProcess, parseDiffusion } from '../../lib/diffusion/diffusion-options.js'
import { type GenerateOptions, type Source, startGeneration } from '../../lib/generation/generate.js'
import { ProgramRun } from '../../lib/generation/program-run.js'
import type { NetworkHandle } from '../../lib/native/binding.js'
import { loadBinding } from '../../lib/native/load.js'
import { type NetworkKind, type NetworkOptions, nativeSettings, networkSchema } from '../../lib/networks/list.js'
import { Network } from '../../lib/networks/network.js'
import { parseOptions } from '../../lib/options/options.js'
import type { Program } from '../../lib/sampling/program.js'
import { Tensor } from '../../lib/tensor/tensor.js'
import { drawParameter, norm } from '../parity/network-fixture.js'
import { createTensor, holdHandles, takeFloats } from './handles.js'
import { stepGradient } from './network-gradient.js'
import { drawImages, readParameters, tinyElements, tinyImage } from './tiny-unet.js'
import { batchOf, createTraining, planOf, relativeDistance } from './training-batch.js'

const held = holdHandles()

const tiny: readonly NetworkOptions[] = [
  { kind: 'unet', channels: 8, multipliers: [1, 2], blocks: 1, attentionResolutions: [4], heads: 2, groups: 4 },
  { kind: 'edm2-unet', channels: 8, multipliers: [1, 2], blocks: 1, attentionResolutions: [8], headChannels: 8 },
  { kind: 'dit', channels: 16, depth: 2, heads: 2 },
  { kind: 'u-vit', channels: 16, depth: 2, heads: 2, timeFeedForward: true },
  { kind: 'mlp', width: 24, depth: 2, activation: 'gelu', dropout: 0.2 },
  { kind: 'modified-ddp', channels: 8, forwardChannels: 4, multipliers: [1, 2] },
  {
    kind: 'song-unet',
    channels: 8,
    multipliers: [1, 2],
    blocks: 1,
    attentionResolutions: [4],
    timeEmbedding: 'fourier',
    encoder: 'residual',
    decoder: 'skip',
    resampling: 'fir',
  },
  {
    kind: 'unet-2d',
    downBlockTypes: ['KDownBlock2D', 'KDownBlock2D'],
    upBlockTypes: ['KUpBlock2D', 'KUpBlock2D'],
    blockOutChannels: [32, 32],
    layersPerBlock: 1,
    attentionHeadDim: 16,
    normNumGroups: 4,
    midBlockType: null,
  },
  {
    kind: 'linear-attention-unet',
    channels: 8,
    multipliers: [1, 2],
    heads: [2],
    headChannels: [4],
    timeEmbedding: 'random',
  },
  {
    kind: 'linear-attention-unet',
    channels: 8,
    multipliers: [1, 2],
    heads: [2],
    headChannels: [4],
    norm: 'group',
    groups: 4,
    halvingKernel: 4,
    memory: 0,
  },
  {
    kind: 'refinenet',
    channels: 8,
    multipliers: [1, 2],
    dilations: [1, 1],
    blocks: 1,
    activation: 'silu',
    pooling: 'mean',
  },
  { kind: 'context-unet', channels: 8 },
]

/** Kinds that are not told a class. */
const unconditional: ReadonlySet<NetworkKind> = new Set(['refinenet'])
/** Kinds that have no blocks to run again: a training that asks for it is refused, see precision.test.ts. */
const unrepeatable: ReadonlySet<NetworkKind> = new Set(['refinenet', 'context-unet'])
/** Where a ReLU bends, or a maximum changes, the loss of sliced score matching jumps, and differences see the jumps. */
const kinked: ReadonlySet<NetworkKind> = new Set(['modified-ddp', 'context-unet'])

/** With weights drawn by name: two networks with parameters of the same names and shapes have the same. */
async function create(
  options: NetworkOptions,
  place: { readonly channels?: number; readonly classes?: number } = {},
): Promise<NetworkHandle> {
  const { channels = tinyImage.channels, classes = 0 } = place
  const settings = parseOptions(networkSchema, { ...options, classConditional: classes > 0 }, options.kind)
  const image = { ...tinyImage, channels }
  const native = { ...nativeSettings(settings, image, classes, 1), outputChannels: tinyImage.channels }
  const network = held(await loadBinding().networkCreate(options.kind, native, 1, 'cpu'))
  for (const { name, shape } of loadBinding().networkParameters(network)) {
    await loadBinding().networkWrite(network, name, createTensor(held, drawParameter(name, shape), shape))
  }
  return network
}

interface Forward {
  readonly x: ArrayLike<number>
  readonly channels?: number
  readonly classes?: Int32Array
  readonly image?: ArrayLike<number>
  readonly precision?: 'float32' | 'bfloat16' | 'float16'
}

const { height, width } = tinyImage
const spatial = height * width

/** The output for as many images as x holds, at the times 3, 40, 77 … */
async function forward(network: NetworkHandle, { x, channels = 3, classes, image, precision }: Forward) {
  const count = x.length / (channels * spatial)
  const input = createTensor(held, x, [count, channels, height, width])
  const beside = image ? createTensor(held, image, [count, image.length / count / spatial, height, width]) : null
  const labels = Float64Array.from({ length: count }, (_, n) => 3 + 37 * n)
  const binding = loadBinding()
  const asked = [network, input, labels, classes ?? null, beside, false, precision ?? 'float32', null] as const
  return takeFloats(binding.passOutput(held(await binding.networkForward(...asked))))
}

describe.each(tiny.map((options) => [options.kind, options] as const))('%s', (kind, options) => {
  test('sees an image beside x as further channels of x', async () => {
    const [x, beside] = [drawImages(2), drawImages(2, 2 * spatial, 77)]
    const both = [0, 1].flatMap((n) => [
      ...x.subarray(n * tinyElements, (n + 1) * tinyElements),
      ...beside.subarray(n * 2 * spatial, (n + 1) * 2 * spatial),
    ])
    const network = await create({ ...options, conditionChannels: 2 })
    const wide = await create(options, { channels: 5 })
    expect(await forward(network, { x, image: beside })).toEqual(await forward(wide, { x: both, channels: 5 }))
  })

  test.skipIf(unconditional.has(kind))('is told a class, and takes no class for the null class', async () => {
    const network = await create(options, { classes: 3 })
    const x = [...drawImages(1), ...drawImages(1)]
    const none = await forward(network, { x })
    expect(await forward(network, { x, classes: Int32Array.of(3, 3) })).toEqual(none)
    const some = await forward(network, { x, classes: Int32Array.of(0, 1) })
    expect(relativeDistance(some, none)).toBeGreaterThan(1e-3)
  })

  test.skipIf(unconditional.has(kind))('draws without being told classes, with a null class and without', async () => {
    const place = { image: tinyImage, classes: 3, seed: 5, device: 'cpu' }
    const draw = async (nullClass: boolean, asked: GenerateOptions): Promise<Float32Array> => {
      using network = await Network.create(kind, { ...options, classConditional: true, nullClass } as never, place)
      // Where its last layer starts at zero a new network says nothing of its classes.
      for (const { name, shape } of network.parameters) {
        using values = Tensor.from(drawParameter(name, shape), shape)
        await network.write(name, values)
      }
      const source: Source = {
        network: network.handle,
        device: 'cpu',
        precision: 'float32',
        process: createProcess(parseDiffusion({ schedule: 'cosine', clip: 'none' })),
        image: tinyImage,
        classes: ['a', 'b', 'c'],
        nullClass,
        conditionChannels: 0,
      }
      using generation = await startGeneration(source, { sampler: 'ddim', steps: 1, chunk: 2, ...asked })
      await generation.run.advance(Number.POSITIVE_INFINITY, {})
      using output = await generation.run.read('output')
      return output.data()
    }
    // The class of image k is k modulo 3, whatever is drawn with it.
    const told = await draw(false, { samples: [4, 8], classes: ['b', 'c'] })
    expect(await draw(false, { samples: [4, 8] })).toEqual(told)
    const free = await draw(true, { samples: [4, 8] })
    expect(relativeDistance(free, told)).toBeGreaterThan(1e-4)
  })

  test('gives an image the same bytes in any company', async () => {
    const network = await create(options)
    const evaluate = { op: 'evaluate', out: 1, x: 0, network: 0, condition: 'given', cIn: 0.5, cNoise: 12 } as const
    const program: Program = {
      version: 1,
      name: 'test',
      registers: 2,
      inputs: { x: 0 },
      output: 1,
      steps: 0,
      instructions: [evaluate],
    }
    const outputOf = async (samples: readonly number[]) => {
      const values = samples.flatMap((n) => [...drawImages(n + 1).subarray(n * tinyElements)])
      using x = Tensor.from(Float32Array.from(values), [samples.length, tinyImage.channels, height, width])
      const given = { seed: 1, samples: Float64Array.from(samples), chunk: 2, classes: null, image: undefined }
      using run = await ProgramRun.create([network], program, { x }, { ...given, precision: 'float32' })
      await run.advance()
      using output = await run.read('output')
      return output.data()
    }
    const samples = [5, 0, 3, 1, 9]
    const whole = await outputOf(samples)
    for (const [k, n] of samples.entries()) {
      expect(await outputOf([n])).toEqual(whole.slice(k * tinyElements, (k + 1) * tinyElements))
    }
  })

  test.each([
    ['bfloat16', 3e-2],
    ['float16', 4e-3],
  ] as const)('computes nearly the same in %s', async (precision, tolerance) => {
    const network = await create(options)
    const x = drawImages(2)
    const apart = relativeDistance(await forward(network, { x, precision }), await forward(network, { x }))
    expect(apart).toBeGreaterThan(1e-5)
    expect(apart).toBeLessThan(tolerance)
  })

  test.each([
    ['bfloat16', 6e-2],
    ['float16', 8e-3],
  ] as const)('takes nearly the step of float32 in %s', async (precision, tolerance) => {
    const network = await create(options)
    const batch = batchOf(held, planOf([3, 1]))
    const single = await stepGradient(held, network, batch)
    const half = await stepGradient(held, network, batch, { precision })
    expect(half.report).toMatchObject({ finite: true, skipped: false })
    expect(Math.abs(half.report.loss / single.report.loss - 1)).toBeLessThan(tolerance)
    const apart = relativeDistance(half.gradient, single.gradient)
    expect(apart).toBeGreaterThan(1e-5)
    expect(apart).toBeLessThan(tolerance)
  })

  test.skipIf(unrepeatable.has(kind))(
    'keeps only the inputs of its blocks where memory is short, and computes the same, bit for bit',
    async () => {
      const batch = batchOf(held, planOf([3, 1]))
      const whole = await stepGradient(held, await create(options), batch)
      const again = await stepGradient(held, await create(options), batch, { activationCheckpointing: true })
      expect(again.report.loss).toBe(whole.report.loss)
      expect(relativeDistance(again.gradient, whole.gradient)).toBe(0)
    },
  )

  test.skipIf(kinked.has(kind))(
    'has gradients that can be differentiated again: the slope of a sliced score matching loss',
    async () => {
      const network = await create(options)
      const plan = planOf([3, 1], { row: { weight: 0.4, cIn: 0.9 } })
      const { gradient } = await stepGradient(held, network, batchOf(held, plan, { loss: 'sliced' }))
      const length = norm(gradient)
      const weights = await readParameters(network)
      const lossAt = async (h: number) => {
        let at = 0
        for (const { name, shape, trained } of loadBinding().networkParameters(network)) {
          if (!trained) continue
          const moved = weights.get(name)?.map((value) => value + (h * (gradient[at++] ?? 0)) / length) ?? []
          await loadBinding().networkWrite(network, name, createTensor(held, moved, shape))
        }
        const training = await createTraining(held, network)
        const batch = batchOf(held, plan, { loss: 'sliced', update: null })
        return (await loadBinding().trainingStep(training, batch, null)).loss
      }
      const h = 1e-5 * norm([...weights.values()].flatMap((values) => [...values]))
      expect(Math.abs(((await lossAt(h)) - (await lossAt(-h))) / (2 * h) / length - 1)).toBeLessThan(5e-3)
    },
  )
})
