/** All that `dpm-torch selftest` measures: samplers and likelihoods on data whose diffusion is known, without the addon. */
import { throwIfAborted } from '../../errors.js'
import { lineChart } from '../../images/chart.js'
import { type SamplerKind, samplers } from '../../sampling/samplers.js'
import { samplerExpectations } from './expectations.js'
import { checkLikelihoods, type LikelihoodCheck } from './likelihood-checks.js'
import type { NativeCheck } from './native-pass.js'
import { measureErrors, type SamplerErrors } from './sampler-errors.js'
import { measureOrder, orderSlack } from './sampler-order.js'

/** Evaluations of the network at which errors are shown. */
export const budgets = [5, 10, 20, 50] as const

export interface SamplerCheck extends SamplerErrors {
  readonly sampler: SamplerKind
  /** Order at which the error falls; null where it is chance. */
  readonly order: number | null
  /** What the sampler's paper says; null where nothing is claimed. */
  readonly expectedOrder: number | null
  readonly passes: boolean
}

export interface Selftest {
  readonly budgets: readonly number[]
  readonly samplers: readonly SamplerCheck[]
  readonly likelihoods: readonly LikelihoodCheck[]
  /** Null where there is no addon. */
  readonly native: readonly NativeCheck[] | null
  readonly passes: boolean
}

export interface SelftestOptions {
  readonly signal?: AbortSignal | undefined
  /** What is being measured, and how many parts of all are done. */
  readonly onProgress?:
    | ((progress: { readonly part: string; readonly done: number; readonly all: number }) => void)
    | undefined
  /** Also compare the native loop with the float64 executor; its failure to load is thrown. */
  readonly native?: boolean | undefined
}

/** @throws DpmError DPM_ABORTED, and with `native` what loading the addon throws. */
export async function runSelftest({ signal, onProgress, native = false }: SelftestOptions = {}): Promise<Selftest> {
  const kinds = Object.keys(samplers) as SamplerKind[]
  const all = kinds.length + 1 + (native ? 1 : 0)
  const checks: SamplerCheck[] = []
  for (const sampler of kinds) {
    onProgress?.({ part: sampler, done: checks.length, all })
    // Lets a signal and the progress line through between parts that only compute.
    await new Promise((resolve) => setImmediate(resolve))
    throwIfAborted(signal, 'The selftest')
    checks.push(await checkSampler(sampler))
  }
  onProgress?.({ part: 'likelihoods', done: checks.length, all })
  const likelihoods = await checkLikelihoods({ signal })
  let nativeChecks: NativeCheck[] | null = null
  if (native) {
    onProgress?.({ part: 'native programs', done: checks.length + 1, all })
    const { checkNative } = await import('./native-pass.js')
    nativeChecks = await checkNative({ signal })
  }
  const passes = [...checks, ...likelihoods, ...(nativeChecks ?? [])].every((one) => one.passes)
  return { budgets, samplers: checks, likelihoods, native: nativeChecks, passes }
}

async function checkSampler(sampler: SamplerKind): Promise<SamplerCheck> {
  const expectation = samplerExpectations[sampler]
  const order = await measureOrder(sampler, expectation)
  const errors = await measureErrors(sampler, budgets, expectation)
  const expectedOrder = expectation?.order ?? null
  const passes = expectedOrder === null || order === null || order >= expectedOrder - orderSlack
  return { sampler, order, expectedOrder, passes, ...errors }
}

/** Error on the mixture against evaluations, both logarithmic, a line for each sampler: an SVG document. */
export function selftestChart({ samplers: checks }: Selftest): string {
  return lineChart({
    title: 'Error on a mixture of two Gaussians, in deviations of the data',
    x: { label: 'evaluations of the network', scale: 'log' },
    y: { label: 'error', scale: 'log' },
    series: checks.map(({ sampler, errors }) => ({
      name: sampler,
      points: errors.mixture.flatMap((error, i) => {
        const budget = budgets[i]
        return error === null || budget === undefined ? [] : [[budget, error] as const]
      }),
    })),
  })
}
