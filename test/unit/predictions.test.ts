import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type PredictionName, predictions, resolvePrediction } from '../../lib/diffusion/predictions/list.js'
import { cleanLevel, type Level } from '../../lib/diffusion/schedule.js'
import { linear } from '../../lib/diffusion/schedules/linear.js'
import { signalToNoise } from '../../lib/diffusion/weighting.js'
import { weightings } from '../../lib/diffusion/weightings/list.js'
import { relativeError } from './closeness.js'

const number = (min: number, max: number) => fc.double({ min, max, noNaN: true })
/** Variance-preserving levels, and others (alpha 1, any sigma). */
const level: fc.Arbitrary<Level> = fc.oneof(
  number(0.01, 1.56).map((angle) => ({ alpha: Math.cos(angle), sigma: Math.sin(angle), time: 3 })),
  number(0.01, 80).map((sigma) => ({ alpha: 1, sigma, time: 3 })),
)

const schedule = linear.create(linear.options.parse({ kind: 'linear' }))
const numbersOf = (name: PredictionName, at: Level) => resolvePrediction(name, schedule).numbers(at)

// The previous mean follows from neighbouring times of one schedule, not from any level: predictions-conversion.test.ts.
const anywhere = (Object.keys(predictions) as PredictionName[]).filter((name) => name !== 'previous-mean')

describe.each(anywhere)('prediction %s', (name) => {
  test('gives the clean image back from its own target', () => {
    fc.assert(
      fc.property(level, number(-1, 1), number(-4, 4), (at, clean, noise) => {
        const x = at.alpha * clean + at.sigma * noise
        const { cSkip, cOut, targetClean, targetNoise, cIn } = numbersOf(name, at)
        const target = targetClean * clean + targetNoise * noise
        const size = Math.abs(cSkip * x) + Math.abs(cOut * target) + 1
        expect(Math.abs(cSkip * x + cOut * target - clean) / size).toBeLessThan(1e-14)
        expect(cIn).toBeGreaterThan(0)
      }),
    )
  })
})

describe('velocity', () => {
  test('is alpha · noise - sigma · clean', () => {
    expect(numbersOf('velocity', { alpha: 0.8, sigma: 0.6, time: 0 })).toMatchObject({
      targetClean: -0.6,
      targetNoise: 0.8,
    })
  })
  test('is the clean image negated where no signal is left', () => {
    const { cSkip, cOut } = numbersOf('velocity', { alpha: 0, sigma: 1, time: 9 })
    expect([cSkip, cOut]).toEqual([0, -1])
  })
})

test('predicted noise says nothing about the image where no signal is left', () => {
  expect(() => numbersOf('noise', { alpha: 0, sigma: 1, time: 9 })).toThrow('Use the prediction "velocity" or "clean".')
})

describe('weightings', () => {
  const at = { alpha: 0.8, sigma: 0.6, time: 0 }
  const ratio = 0.64 / 0.36
  const weight = (name: 'snr' | 'uniform', prediction: PredictionName): number =>
    weightings[name].create({ kind: name } as never, schedule)(at, numbersOf(prediction, at))
  const minimum = (gamma: number, prediction: PredictionName): number =>
    weightings['min-snr'].create({ kind: 'min-snr', gamma }, schedule)(at, numbersOf(prediction, at))

  test('snr is the plain loss of a network that predicts noise, whatever it predicts', () => {
    expect(relativeError(weight('snr', 'noise'), 1)).toBeLessThan(1e-15)
    expect(relativeError(weight('snr', 'clean'), ratio)).toBeLessThan(1e-15)
    expect(relativeError(weight('snr', 'velocity'), ratio / (ratio + 1))).toBeLessThan(1e-15)
    expect(weight('uniform', 'clean')).toBe(1)
  })
  test.each([1, 5])('min-snr with gamma %i is the formula of Hang et al. for each prediction', (gamma) => {
    const least = Math.min(ratio, gamma)
    expect(relativeError(minimum(gamma, 'clean'), least)).toBeLessThan(1e-15)
    expect(relativeError(minimum(gamma, 'noise'), least / ratio)).toBeLessThan(1e-15)
    expect(relativeError(minimum(gamma, 'velocity'), least / (ratio + 1))).toBeLessThan(1e-15)
  })
  test('the clean level has no noise', () => {
    expect(signalToNoise(cleanLevel)).toBe(Number.POSITIVE_INFINITY)
  })
})
