/** Every program of the catalog on the native loop and on the float64 executor, with one small network for both. */
import { createProcess, parseDiffusion } from '../../diffusion/diffusion-options.js'
import { ProgramRun } from '../../generation/program-run.js'
import { Network } from '../../networks/network.js'
import type { RecordedSampler, SamplerDefinition } from '../../sampling/define-sampler.js'
import { selectLevels } from '../../sampling/levels.js'
import type { Program } from '../../sampling/program.js'
import { runReference } from '../../sampling/reference-executor.js'
import { initialNoise } from '../../sampling/sample.js'
import { type SamplerKind, samplers } from '../../sampling/samplers.js'
import { Tensor } from '../../tensor/tensor.js'
import { type SamplerExpectation, samplerExpectations } from './expectations.js'
import { contextOf, onFirst, paintingInputs, recordEither } from './recordings.js'

const image = { channels: 3, height: 8, width: 8 } as const
const elements = 192
const keys = [0, 7] as const
const seed = 0
/**
 * sigma / alpha of the levels. At the noisiest time of the schedules it is 1000 and more: there the noise that a sampler reads
 * off x, and the roundings of float32 with it, are that much larger than the image.
 */
const ratios = [10, 3, 1, 0.5, 0.2, 0.05]

/** What may be off because native registers are float32. */
export const nativeTolerance = 1e-5

export interface NativeCheck {
  readonly sampler: SamplerKind
  /** Largest difference of an element, relative to the larger of its size and 1. */
  readonly difference: number
  readonly passes: boolean
}

/**
 * Adaptive samplers are passed over, as they have no program.
 * @param options.onProgress told the share that is done.
 * @throws DpmError where the addon or libtorch is missing
 */
export async function checkNative({
  kinds = Object.keys(samplers) as SamplerKind[],
  signal,
  onProgress,
}: {
  readonly kinds?: readonly SamplerKind[] | undefined
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((fraction: number) => void) | undefined
} = {}): Promise<NativeCheck[]> {
  using network = await Network.create(
    'unet',
    { channels: 8, multipliers: [1], blocks: 1, attentionResolutions: [], groups: 4, zeroLayers: 'none' },
    { image, device: 'cpu' },
  )
  const checks: NativeCheck[] = []
  for (const [done, sampler] of kinds.entries()) {
    const definition: SamplerDefinition = samplers[sampler]
    if (definition.adaptive) continue
    onProgress?.(done / kinds.length)
    const program = recordFor(definition, samplerExpectations[sampler])
    const difference = await differenceOf(program, network, signal)
    checks.push({ sampler, difference, passes: difference <= nativeTolerance })
  }
  return checks
}

/** On the cosine schedule, or on straight paths where the sampler knows no others. */
const processes = [
  createProcess(parseDiffusion({ schedule: { kind: 'cosine', steps: 100 }, prediction: 'velocity' })),
  createProcess(parseDiffusion({ schedule: 'rectified-flow', prediction: 'flow', timeLabel: 'fraction' })),
]

function recordFor(sampler: RecordedSampler, expectation: SamplerExpectation | undefined): Program {
  return onFirst(processes, ({ schedule, prediction, label }) => {
    const levels = selectLevels(schedule, { spacing: { kind: 'ratios', ratios } })
    const clip = { kind: 'range', low: -1, high: 1 } as const
    const context = contextOf(schedule, levels, { prediction, label, clip })
    return recordEither(sampler, expectation?.options?.(levels) ?? {}, context)
  })
}

async function differenceOf(program: Program, network: Network, signal: AbortSignal | undefined): Promise<number> {
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

async function runNative(
  program: Program,
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
