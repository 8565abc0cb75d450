/** The variational bound against improved-diffusion's, term by term: `fixtures/likelihood/make_likelihood_fixtures.py`. */
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { createProcess, parseDiffusion } from '../../lib/diffusion/diffusion-options.js'
import type { LikelihoodDenoiser } from '../../lib/diffusion/likelihood/likelihood-denoiser.js'
import { logNormalInterval } from '../../lib/diffusion/likelihood/normal-interval.js'
import { variationalStep } from '../../lib/diffusion/likelihood/variational-step.js'
import { priorTerms, variationalTerms } from '../../lib/diffusion/likelihood/variational-terms.js'
import type { VarianceKind } from '../../lib/diffusion/posterior.js'
import type { PredictionName } from '../../lib/diffusion/predictions/list.js'
import { requireDiscrete } from '../../lib/diffusion/schedule.js'

interface Run {
  readonly schedule: 'linear' | 'cosine'
  readonly steps: number
  readonly prediction: PredictionName
  readonly variance: VarianceKind
  readonly clip: boolean
  /** Per image; by image and time. */
  readonly total: number[]
  readonly prior: number[]
  readonly vb: number[][]
  readonly xstart_mse: number[][]
  readonly mse: number[][]
}

function read<Value>(name: string): Value {
  return JSON.parse(readFileSync(new URL(`../fixtures/likelihood/${name}.json`, import.meta.url), 'utf8')) as Value
}

const { seed, examples, values, runs } = read<{ seed: number; examples: number[]; values: number[][]; runs: Run[] }>(
  'variational-terms',
)
const x = Float64Array.from(values.flat(), (value) => value / 127.5 - 1)

function setUp({ schedule, steps, prediction, variance }: Run) {
  const options = schedule === 'linear' ? { kind: schedule, steps, scaleToSteps: true } : { kind: schedule, steps }
  const process = createProcess(parseDiffusion({ schedule: options, prediction, variance }))
  const denoiser: LikelihoodDenoiser = {
    schedule: process.schedule,
    async denoise(noisy, levels) {
      const elements = noisy.length / levels.length
      const each = (f: (value: number, n: number, share: number) => number): Float64Array =>
        noisy.map((value, i) => {
          const n = Math.floor(i / elements)
          return f(value, n, (levels[n]?.time ?? 0) / steps)
        })
      const numbers = levels.map((level) => process.prediction.numbers(level))
      return {
        clean: each((value, n, share) => {
          const { cSkip = 0, cOut = 0 } = numbers[n] ?? {}
          return cSkip * value + cOut * (0.9 * Math.tanh(0.8 * value + 1.5 * share - 0.3) + 0.1 * value)
        }),
        variance: each((value, _, share) => 0.8 * Math.tanh(value - share) - (variance === 'learned' ? 3 : 0)),
      }
    },
  }
  return { denoiser, schedule: requireDiscrete(process.schedule, 'This test') }
}

describe('improved-diffusion', () => {
  test.each(
    runs.map(
      (run) => [`${run.schedule} ${run.steps}, ${run.prediction}, ${run.variance}, clip ${run.clip}`, run] as const,
    ),
  )('%s: every term, its errors, the prior and the whole, to 1e-10', async (_, run) => {
    const { denoiser, schedule } = setUp(run)
    const clip = run.clip ? { low: -1, high: 1 } : null
    const prior = priorTerms(schedule, x, examples.length)
    const totals = [...prior]
    for (let time = 0; time < run.steps; time++) {
      const step = variationalStep(schedule, time, run.variance, 'second-step')
      const terms = await variationalTerms({ denoiser, x, examples, steps: [step, step], clip, seed })
      for (const [n, { bits, cleanError, noiseError }] of terms.entries()) {
        const close = (actual: number, exact = Number.NaN): void =>
          expect(Math.abs(actual - exact), `time ${time}`).toBeLessThan(1e-10 * Math.max(1, Math.abs(exact)))
        close(bits.tanh, run.vb[n]?.[time])
        close(cleanError, run.xstart_mse[n]?.[time])
        close(noiseError, run.mse[n]?.[time])
        totals[n] = (totals[n] ?? 0) + bits.tanh
      }
    }
    for (const [n, total] of totals.entries()) {
      expect(prior[n]).toBeCloseTo(run.prior[n] ?? Number.NaN, 12)
      expect(total / (run.total[n] ?? Number.NaN)).toBeCloseTo(1, 10)
    }
  })
})

test('the log probability of an interval of a standard normal has 13 digits, also 38 deviations out', () => {
  for (const { low, high, log } of read<{ low: number; high: number; log: number }[]>('normal-interval')) {
    expect(Math.abs(logNormalInterval(low, high) - log) / Math.max(1, Math.abs(log)), `${low} … ${high}`).toBeLessThan(
      1e-13,
    )
  }
})
