/** Every program of the catalog on the native loop and on the float64 executor, with one small network for both. */
import { createProcess, parseDiffusion } from '../../diffusion/diffusion-options.js'
import { ProgramRun } from '../../generation/program-run.js'
import { Network } from '../../networks/network.js'
import { selectLevels } from '../../sampling/levels.js'
import { runReference } from '../../sampling/reference-executor.js'
import { initialNoise } from '../../sampling/sample.js'
import { type SamplerKind, samplers } from '../../sampling/samplers.js'
import { Tensor } from '../../tensor/tensor.js'
import { attempt, paintingInputs, recordEither } from './recordings.js'

const image = { channels: 3, height: 8, width: 8 } as const
const elements = 192
const keys = [0, 7] as const
const seed = 0
const steps = 4

/** What may be off because native registers are float32. */
export const nativeTolerance = 1e-5

export interface NativeCheck {
  readonly sampler: SamplerKind
  /** Largest difference of an element, relative to the larger of its size and 1. */
  readonly difference: number
  readonly passes: boolean
}

/**
 * Adaptive samplers are left out, as they have no program.
 * @throws DpmError where the addon or libtorch is missing
 */
export async function checkNative(
  options: {
    readonly signal?: AbortSignal | undefined
    readonly onProgress?: ((sampler: string) => void) | undefined
  } = {},
): Promise<NativeCheck[]> {
  using network = await Network.create(
    'unet',
    { channels: 8, multipliers: [1, 2], blocks: 1, attentionResolutions: [4], groups: 4, zeroLayers: 'none' },
    { image, device: 'cpu' },
  )
  const checks: NativeCheck[] = []
  for (const sampler of Object.keys(samplers) as SamplerKind[]) {
    if (samplers[sampler].adaptive) continue
    options.onProgress?.(sampler)
    const difference = await differenceOf(sampler, network, options.signal)
    checks.push({ sampler, difference, passes: difference <= nativeTolerance })
  }
  return checks
}

/** On the cosine schedule, or on straight paths where the sampler knows no others. */
const processes = [
  createProcess(parseDiffusion({ schedule: { kind: 'cosine', steps: 100 }, prediction: 'velocity' })),
  createProcess(parseDiffusion({ schedule: 'rectified-flow', prediction: 'flow', timeLabel: 'fraction' })),
]

async function differenceOf(sampler: SamplerKind, network: Network, signal: AbortSignal | undefined): Promise<number> {
  for (const { schedule, prediction, label } of processes) {
    const levels = selectLevels(schedule, { steps })
    const clip = { kind: 'range', low: -1, high: 1 } as const
    const program = attempt(() => recordEither(sampler, schedule, levels, { prediction, label, clip }))
    if (program instanceof Error) continue
    const x = initialNoise(seed, keys, elements)
    const inputs = Object.fromEntries(
      Object.keys(program.inputs).map((name) => [
        name,
        name === 'x' ? x : new Float64Array(x.length).fill(paintingInputs[name as keyof typeof paintingInputs] ?? 0),
      ]),
    )
    const shape = [image.channels, image.height, image.width]
    const { output } = await runReference(program, {
      network: async (values, cNoise) => {
        using input = Tensor.from(Float32Array.from(values), [keys.length, ...shape])
        const labels = new Array<number>(keys.length).fill(cNoise)
        using pass = await network.forward(input, labels, { gradient: false, signal })
        return pass.output.data()
      },
      inputs,
      shape,
      samples: keys,
      seed,
      signal,
    })
    const native = await runNative(program, network, inputs, [keys.length, ...shape], signal)
    return output.reduce(
      (top, value, i) => Math.max(top, Math.abs(value - (native[i] ?? Number.NaN)) / Math.max(1, Math.abs(value))),
      0,
    )
  }
  return Number.NaN
}

async function runNative(
  program: Parameters<typeof ProgramRun.create>[1],
  network: Network,
  inputs: Readonly<Record<string, Float64Array>>,
  shape: readonly number[],
  signal: AbortSignal | undefined,
): Promise<Float32Array> {
  const tensors = Object.fromEntries(
    Object.entries(inputs).map(([name, values]) => [name, Tensor.from(Float32Array.from(values), shape)]),
  )
  try {
    using run = await ProgramRun.create([network.handle], program, tensors, {
      seed,
      samples: Float64Array.from(keys),
      chunk: keys.length,
      classes: null,
      precision: 'float32',
    })
    await run.advance(Number.POSITIVE_INFINITY, { signal })
    using output = await run.read('output')
    return await output.data()
  } finally {
    for (const tensor of Object.values(tensors)) tensor.dispose()
  }
}
