/**
 * How fast a recipe's network trains and is evaluated on this machine, with data made up from the counter; and, as a
 * profile, where the time goes.
 */
import type { PublishedShape } from '../datasets/define-data-set.js'
import { expected, throwIfAborted } from '../errors.js'
import { call, callSync } from '../native/call.js'
import type { RunOptions, RunSettings } from '../training/run-options.js'
import { newSettings, type Partially } from '../training/trainer-options.js'
import { type MachineSpeed, measureMachine, median } from './machine-speed.js'
import { type Profile, profileOf } from './roofline.js'
import { Workload } from './workload.js'

/** What is measured: whole updates (noise, forward, loss, backward, clipping, optimizer, averages), or evaluations. */
export type BenchmarkWork = 'training' | 'evaluation'

export interface BenchmarkPlace {
  /** Both when absent. */
  readonly works?: readonly BenchmarkWork[]
  /** Steps, and evaluations, that are timed; as many again are profiled. Default 5. */
  readonly steps?: number
  /** Shape and number of classes of the data; as it is published when absent. */
  readonly shape?: PublishedShape
  /** Whether a TorchScript module that a recipe file names may be run, as `Trainer.create` says; false when absent. */
  readonly trust?: boolean
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: (progress: BenchmarkProgress) => void
}

/** A recipe by name or file with changes laid over it, or complete run options. */
export type BenchmarkOptions = BenchmarkPlace & (({ readonly recipe: string } & Partially<RunOptions>) | RunOptions)

export interface BenchmarkProgress {
  /** What is being measured now. */
  readonly part: 'machine' | BenchmarkWork
  /** Of all that is measured, 0 … 1. */
  readonly fraction: number
}

export interface Measurement {
  /** Of each step or evaluation, without recording. */
  readonly seconds: readonly number[]
  /** Their median. */
  readonly median: number
  readonly imagesPerSecond: number
  /** Of its convolutions, matrix products and attention, by the median. */
  readonly flopsPerSecond: number
  /** Of the machine's convolution. */
  readonly shareOfPeak: number
  /** Most that tensors of one step or evaluation held, beyond weights and optimizer. */
  readonly peakBytes: number
  readonly profile: Profile
}

export interface Benchmark {
  readonly name: string
  readonly network: string
  readonly parameters: number
  readonly image: { readonly channels: number; readonly height: number; readonly width: number }
  readonly batch: number
  readonly precision: RunSettings['precision']
  readonly machine: MachineSpeed
  /** Null where it was not asked for. */
  readonly training: Measurement | null
  readonly evaluation: Measurement | null
  /** The process's largest resident memory so far; on a GPU its own memory comes on top. */
  readonly memoryBytes: number
}

const warmups = 2
const works: readonly BenchmarkWork[] = ['training', 'evaluation']

/**
 * Measures. Medians of few steps on a machine that does other work say little: compare runs made in turn.
 * @throws DpmError DPM_INVALID_OPTION, DPM_ABORTED when the signal fires (within one block of the network),
 *   DPM_DEVICE_UNAVAILABLE, DPM_OUT_OF_MEMORY, DPM_NON_FINITE, and what loading native code throws
 */
export async function benchmark(options: BenchmarkOptions): Promise<Benchmark> {
  const { works: asked = works, steps = 5, shape, signal, onProgress, ...rest } = options
  if (!Number.isSafeInteger(steps) || steps < 1) throw expected('a whole number of at least 1', 'steps', steps)
  if (!Array.isArray(asked) || asked.length === 0 || asked.some((work) => !works.includes(work))) {
    throw expected(`a list of ${works.join(' and ')}, or one of them`, 'works', asked)
  }
  const settings = newSettings(rest)
  throwIfAborted(signal)
  await using workload = await Workload.create(settings, shape, signal)
  const turns = 1 + asked.length * (warmups + 2 * steps)
  let done = 0
  const tell = (part: BenchmarkProgress['part']): void => onProgress?.({ part, fraction: done++ / turns })
  tell('machine')
  const machine = await measureMachine(workload.device, settings.precision, signal)
  const measured = new Map<BenchmarkWork, Measurement>()
  for (const work of works.filter((one) => asked.includes(one))) {
    measured.set(work, await measure(workload, work, steps, machine, signal, () => tell(work)))
  }
  const { channels, height, width } = workload.dataSet
  return {
    name: settings.name,
    network: settings.network.kind,
    parameters: workload.size,
    image: { channels, height, width },
    batch: settings.training.batch,
    precision: settings.precision,
    machine,
    training: measured.get('training') ?? null,
    evaluation: measured.get('evaluation') ?? null,
    memoryBytes: process.resourceUsage().maxRSS * 1024,
  }
}

async function measure(
  workload: Workload,
  work: BenchmarkWork,
  steps: number,
  machine: MachineSpeed,
  signal: AbortSignal | undefined,
  tell: () => void,
): Promise<Measurement> {
  const profile = callSync((binding) => binding.profileCreate())
  try {
    const seconds: number[] = []
    for (let turn = 0; turn < warmups + 2 * steps; turn++) {
      tell()
      const batch = work === 'training' ? await workload.nextBatch() : undefined
      // In turn, so that what else the machine does slows both alike.
      const recorded = turn >= warmups && (turn - warmups) % 2 === 1 ? profile : undefined
      const began = performance.now()
      if (batch) await workload.train(batch, signal, recorded)
      else await workload.evaluate(signal, recorded)
      if (turn >= warmups && !recorded) seconds.push((performance.now() - began) / 1000)
    }
    const profiled = profileOf(await call(signal, (binding) => binding.profileRead(profile)), machine, steps)
    const middle = median(seconds)
    return {
      seconds,
      median: middle,
      imagesPerSecond: workload.settings.training.batch / middle,
      flopsPerSecond: profiled.flops / middle,
      shareOfPeak: profiled.flops / middle / machine.flopsPerSecond,
      peakBytes: profiled.peakBytes,
      profile: profiled,
    }
  } finally {
    callSync((binding) => binding.dispose(profile))
  }
}
