import { describe, expect, test } from 'vitest'
import {
  createSchedule,
  createWeighting,
  type DiffusionOptions,
  parseDiffusion,
} from '../../lib/diffusion/diffusion-options.js'
import { posterior } from '../../lib/diffusion/posterior.js'
import { resolvePrediction } from '../../lib/diffusion/predictions/list.js'
import type { Schedule } from '../../lib/diffusion/schedule.js'
import { snrSlope } from '../../lib/diffusion/snr-slope.js'
import { signalToNoise } from '../../lib/diffusion/weighting.js'
import { relativeError } from './closeness.js'

type Prediction = Exclude<DiffusionOptions['prediction'], undefined>

function scheduleOf(schedule: DiffusionOptions['schedule']): Schedule {
  return createSchedule(parseDiffusion({ schedule, timeLabel: 'fraction' }).schedule)
}

/** The weight at a time, and how large an error of the clean image an error of the network's output is. */
function weigh(
  weighting: DiffusionOptions['weighting'],
  schedule: DiffusionOptions['schedule'],
  time: number,
  prediction: Prediction = 'noise',
) {
  const made = scheduleOf(schedule)
  const level = made.level(time)
  const numbers = resolvePrediction(prediction, made).numbers(level)
  const { weighting: settings } = parseDiffusion({ weighting, timeLabel: 'fraction' })
  return { weight: createWeighting(settings, made)(level, numbers), level, cOut: numbers.cOut, schedule: made }
}

const places = [
  ['linear', 0],
  ['linear', 400],
  ['cosine', 999],
  ['edm', 0.7],
  ['rectified-flow', 0.3],
  ['vp-sde', 0.01],
] as const

describe('weights that are 1 on the error of one prediction, whatever the network predicts', () => {
  test.each([
    ['snr', 'noise'],
    ['velocity', 'velocity'],
    ['flow', 'flow'],
    ['edm', 'edm'],
  ] as const)('%s: on that of %s', (weighting, own) => {
    for (const [schedule, time] of places) {
      expect(relativeError(weigh(weighting, schedule, time, own).weight, 1)).toBeLessThan(1e-12)
      const ofClean = weigh(weighting, schedule, time, 'clean').weight
      const { weight, cOut } = weigh(weighting, schedule, time, 'velocity')
      expect(relativeError(weight, ofClean * cOut * cOut)).toBeLessThan(1e-12)
    }
  })
})

test("edm is the published (s² + d²) / (s d)² on the clean image's error", () => {
  for (const [sigma, sigmaData] of [
    [0.01, 0.5],
    [3, 0.5],
    [40, 0.2],
  ] as const) {
    const { weight } = weigh({ kind: 'edm', sigmaData }, 'edm', sigma, 'clean')
    expect(relativeError(weight, (sigma ** 2 + sigmaData ** 2) / (sigma * sigmaData) ** 2)).toBeLessThan(1e-14)
  }
})

test('p2 divides the plain loss by (k + snr)^gamma', () => {
  for (const [schedule, time] of places) {
    const { weight, level } = weigh({ kind: 'p2', k: 2, gamma: 0.5 }, schedule, time)
    expect(relativeError(weight, 1 / Math.sqrt(2 + signalToNoise(level)))).toBeLessThan(1e-12)
    expect(relativeError(weigh({ kind: 'p2', gamma: 0 }, schedule, time).weight, 1)).toBeLessThan(1e-12)
  }
})

test('truncated snr is snr where there is more signal than noise, and 1 on the clean image elsewhere', () => {
  expect(weigh('truncated-snr', 'edm', 0.5, 'clean').weight).toBeCloseTo(4, 12)
  expect(weigh('truncated-snr', 'edm', 10, 'clean').weight).toBe(1)
})

test("denoising score matching is half the score's squared error times sigma²: half of the plain loss", () => {
  for (const [schedule, time] of places) {
    const plain = weigh('denoising-score-matching', schedule, time).weight
    expect(relativeError(plain, 0.5)).toBeLessThan(1e-12)
    const { weight, level } = weigh({ kind: 'denoising-score-matching', power: 0 }, schedule, time, 'score')
    expect(level.sigma).toBeGreaterThan(0)
    expect(relativeError(weight, 0.5)).toBeLessThan(1e-12)
  }
})

describe('the slope of log snr is that of the closed forms', () => {
  // vp-sde: snr = 1 / (e^B - 1), so d ln snr / dt = -beta / (1 - e^-B); ve-sde: -2 ln(sigmaMax / sigmaMin); edm: -2 / t;
  // rectified flow: -2 / (t (1 - t)).
  const rate = (t: number) => 0.1 + 19.9 * t
  const total = (t: number) => 0.1 * t + (19.9 * t * t) / 2
  const cases = [
    ['vp-sde', (t: number) => -rate(t) / -Math.expm1(-total(t)), [1e-5, 1.00001e-5, 1e-3, 0.4, 1]],
    ['ve-sde', () => -2 * Math.log(5000), [1e-5, 0.3, 1]],
    ['edm', (t: number) => -2 / t, [1e-4, 0.002, 1, 80, 300]],
    ['rectified-flow', (t: number) => -2 / (t * (1 - t)), [0.01, 0.5, 0.9, 0.999]],
  ] as const
  test.each(cases)('%s', (kind, exact, times) => {
    const schedule = scheduleOf(kind)
    for (const time of times) {
      const level = schedule.level(time)
      expect(relativeError(snrSlope(schedule, level) / signalToNoise(level), exact(time))).toBeLessThan(3e-8)
    }
  })
})

describe('vlb', () => {
  test('of discrete times is T (snr_{t-1} - snr_t) / 2 on the clean image, the divergence of two Gaussians', () => {
    for (const time of [1, 10, 500, 999]) {
      const { weight, level, schedule } = weigh('vlb', 'linear', time, 'clean')
      const [before, at] = [signalToNoise(schedule.level(time - 1)), signalToNoise(level)]
      expect(relativeError(weight, 500 * (before - at))).toBeLessThan(1e-8)
      const q = posterior(level, schedule.level(time - 1))
      const large = weigh({ kind: 'vlb', variance: 'fixed-large' }, 'linear', time, 'clean').weight
      expect(relativeError(large, (1000 * q.meanClean ** 2) / (2 * q.forwardVariance))).toBeLessThan(1e-12)
    }
  })

  test("with an error of 1 everywhere its mean is half of what the signal's power falls by, for any schedule between the same ends", () => {
    // ∫ -½ d ln snr / dt dt = ½ (ln snr(first) - ln snr(last)), by midpoints.
    for (const kind of ['vp-sde', 've-sde'] as const) {
      const schedule = scheduleOf({ kind, cleanest: 0.01 })
      const count = 1000
      let sum = 0
      for (let i = 0; i < count; i++) {
        const time = schedule.cleanest + ((i + 0.5) / count) * (schedule.noisiest - schedule.cleanest)
        sum += weigh('vlb', { kind, cleanest: 0.01 }, time).weight / count
      }
      const ends = [schedule.cleanest, schedule.noisiest].map((time) => Math.log(signalToNoise(schedule.level(time))))
      expect(relativeError(sum, 0.5 * ((ends[0] ?? 0) - (ends[1] ?? 0)))).toBeLessThan(1e-4)
    }
  })

  test('of continuous time is the limit of more and more discrete times', () => {
    const steps = 100_000
    const { weight } = weigh('vlb', { kind: 'linear', steps, scaleToSteps: true }, steps / 2 - 1)
    expect(relativeError(weight, weigh('vlb', 'vp-sde', 0.5).weight)).toBeLessThan(1e-3)
  })
})

test("likelihood is half the square of the diffusion on the score's error: g² = beta for the VP SDE", () => {
  for (const time of [1e-3, 0.2, 0.9]) {
    expect(relativeError(weigh('likelihood', 'vp-sde', time, 'score').weight, (0.1 + 19.9 * time) / 2)).toBeLessThan(
      3e-8,
    )
  }
})
