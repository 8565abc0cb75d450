/** All that `dpm-torch selftest` measures: samplers and likelihoods on data whose diffusion is known, without the addon. */
import { expected, throwIfAborted } from '../../errors.js'
import { nearest } from '../../options/options.js'
import type { SamplerDefinition } from '../../sampling/define-sampler.js'
import { type SamplerKind, samplers } from '../../sampling/samplers.js'
import { likelihoods } from '../likelihood.js'
import { samplerExpectations } from './expectations.js'
import { checkLikelihoods, type LikelihoodCheck, type LikelihoodKind } from './likelihood-checks.js'
import type { NativeCheck } from './native-pass.js'
import { attempt } from './recordings.js'
import { budgets, checkSampler, type SamplerCheck } from './sampler-check.js'
import { drawsNoise } from './sampler-errors.js'

export interface Selftest {
  readonly budgets: readonly number[]
  readonly samplers: readonly SamplerCheck[]
  readonly likelihoods: readonly LikelihoodCheck[]
  /** Null where the native loop was left out. */
  readonly native: readonly NativeCheck[] | null
  readonly passes: boolean
}

export interface SelftestProgress {
  /** What is being measured. */
  readonly part: string
  /** Share of the work that is done. */
  readonly fraction: number
}

export interface SelftestOptions {
  /** Samplers and likelihoods to measure; all when empty or absent. */
  readonly names?: readonly string[] | undefined
  /** Also compare the native loop with the float64 executor; its failure to load is thrown. */
  readonly native?: boolean | undefined
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((progress: SelftestProgress) => void) | undefined
}

/** How long parts take, in samplers without noise. */
const work = { quiet: 1, noisy: 7, adaptive: 3, likelihood: 20, native: 15 } as const

function workOf(kind: SamplerKind): number {
  const sampler: SamplerDefinition = samplers[kind]
  if (sampler.adaptive) return work.adaptive
  return attempt(() => drawsNoise(sampler, samplerExpectations[kind])) === true ? work.noisy : work.quiet
}

/**
 * @throws DpmError DPM_INVALID_OPTION for a name that is neither a sampler nor a likelihood, DPM_ABORTED, and with `native`
 *   what loading the addon throws.
 */
export async function runSelftest(options: SelftestOptions = {}): Promise<Selftest> {
  const { native = false, signal, onProgress } = options
  const { samplerKinds, likelihoodKinds } = selftestParts(options.names)
  const recorded = samplerKinds.filter((kind) => !samplers[kind].adaptive)
  const hasNative = native && recorded.length > 0
  const ofSamplers = samplerKinds.reduce((sum, kind) => sum + workOf(kind), 0)
  const ofLikelihoods = work.likelihood * likelihoodKinds.length
  const all = ofSamplers + ofLikelihoods + (hasNative ? work.native : 0)
  const reportFrom = (part: string, before: number, own: number) => (share: number) =>
    onProgress?.({ part, fraction: (before + own * share) / all })
  const checks: SamplerCheck[] = []
  let done = 0
  for (const kind of samplerKinds) {
    reportFrom(kind, done, 0)(0)
    // Between parts that only compute, a signal and the progress line have their turn.
    await new Promise((resolve) => setImmediate(resolve))
    throwIfAborted(signal, 'The selftest')
    checks.push(await checkSampler(samplers[kind], samplerExpectations[kind]))
    done += workOf(kind)
  }
  const likelihoodChecks = await checkLikelihoods({
    kinds: likelihoodKinds,
    signal,
    onProgress: reportFrom('likelihoods', ofSamplers, ofLikelihoods),
  })
  let nativeChecks: NativeCheck[] | null = null
  if (hasNative) {
    const { checkNative } = await import('./native-pass.js')
    const report = reportFrom('native loop', ofSamplers + ofLikelihoods, work.native)
    nativeChecks = await checkNative({ kinds: recorded, signal, onProgress: report })
  }
  const passes = [...checks, ...likelihoodChecks, ...(nativeChecks ?? [])].every((one) => one.passes)
  return { budgets, samplers: checks, likelihoods: likelihoodChecks, native: nativeChecks, passes }
}

/**
 * What names stand for; everything where there are none.
 * @throws DpmError DPM_INVALID_OPTION for a name that is neither a sampler nor a likelihood.
 */
export function selftestParts(names: readonly string[] = []): {
  readonly samplerKinds: readonly SamplerKind[]
  readonly likelihoodKinds: readonly LikelihoodKind[]
} {
  const allSamplers = Object.keys(samplers) as SamplerKind[]
  const allLikelihoods = Object.keys(likelihoods) as LikelihoodKind[]
  const known: readonly string[] = [...allSamplers, ...allLikelihoods]
  const unknown = names.find((name) => !known.includes(name))
  if (unknown !== undefined) {
    const near = nearest(unknown, known)
    const cure = near ? `Did you mean "${near}"?` : ''
    throw expected(`one of ${known.join(', ')}`, 'names', unknown, cure, 'DPM_INVALID_OPTION')
  }
  const isChosen = (name: string): boolean => names.length === 0 || names.includes(name)
  return { samplerKinds: allSamplers.filter(isChosen), likelihoodKinds: allLikelihoods.filter(isChosen) }
}
