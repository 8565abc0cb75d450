import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { conversion } from '../../lib/diffusion/conversion.js'
import { createProcess, createSchedule, parseDiffusion } from '../../lib/diffusion/diffusion-options.js'
import { posterior } from '../../lib/diffusion/posterior.js'
import { type PredictionOptions, predictions, resolvePrediction } from '../../lib/diffusion/predictions/list.js'
import type { Level, Schedule } from '../../lib/diffusion/schedule.js'
import { relativeError } from './closeness.js'

const scheduleOf = (options: unknown): Schedule => createSchedule(parseDiffusion({ schedule: options }).schedule)

const continuous: readonly PredictionOptions[] = [
  'noise',
  'noise-residual',
  'clean',
  'velocity',
  'score',
  { kind: 'score', scaled: true },
  'flow',
  'edm',
  { kind: 'edm', sigmaData: 1.7 },
]

const number = (min: number, max: number) => fc.double({ min, max, noNaN: true })

interface Point {
  readonly level: Level
  readonly clean: number
  readonly noise: number
}

function pointsOf(schedule: Schedule): fc.Arbitrary<Point> {
  const { steps, cleanest, noisiest } = schedule
  const time = steps === undefined ? number(Math.max(cleanest, 0.01), noisiest) : fc.integer({ min: 0, max: noisiest })
  return fc.record({ level: time.map((one) => schedule.level(one)), clean: number(-1, 1), noise: number(-4, 4) })
}

describe.each<[unknown, readonly PredictionOptions[]]>([
  ['linear', [...continuous, 'previous-mean']],
  ['cosine', [...continuous, 'previous-mean']],
  ['ncsn', [...continuous, 'previous-mean']],
  ['vp-sde', continuous],
  ['sub-vp-sde', continuous],
  ['edm', continuous],
  ['rectified-flow', continuous],
])('on schedule %j', (options, kinds) => {
  const schedule = scheduleOf(options)
  const made = kinds.map((kind) => resolvePrediction(kind, schedule))

  test('what one prediction says becomes what each other would say, and comes back, to 1e-12', () => {
    fc.assert(
      fc.property(pointsOf(schedule), ({ level, clean, noise }) => {
        const x = level.alpha * clean + level.sigma * noise
        for (const from of made) {
          const said = from.numbers(level)
          const output = said.targetClean * clean + said.targetNoise * noise
          for (const to of made) {
            const wanted = to.numbers(level)
            const there = conversion(level, said, wanted)
            const back = conversion(level, wanted, said)
            const other = there.noisy * x + there.output * output
            // Errors count against the terms that are added: a prediction that says little about the image cannot say it to
            // 1e-12 of the image.
            const size = Math.abs(there.noisy * x) + Math.abs(there.output * output)
            const exact = wanted.targetClean * clean + wanted.targetNoise * noise
            expect(Math.abs(other - exact)).toBeLessThan(1e-12 * (size + Math.abs(exact)) + 1e-15)
            const again = back.noisy * x + back.output * other
            const sizeAgain = Math.abs(back.noisy * x) + Math.abs(back.output) * size
            expect(Math.abs(again - output)).toBeLessThan(1e-12 * (sizeAgain + Math.abs(output)) + 1e-15)
          }
        }
      }),
      { numRuns: 30 },
    )
  })

  test('a prediction is itself, and the way to the clean image is the denoiser’s', () => {
    const clean = resolvePrediction('clean', schedule)
    fc.assert(
      fc.property(pointsOf(schedule), ({ level }) => {
        for (const one of made) {
          const numbers = one.numbers(level)
          const same = conversion(level, numbers, numbers)
          expect([Math.abs(same.noisy), same.output]).toEqual([0, 1])
          const { noisy, output } = conversion(level, numbers, clean.numbers(level))
          // targetClean cancels where there is little noise: what is left of it has an error in the size of what cancelled.
          const size = Math.abs(numbers.cSkip) + Math.abs(numbers.cOut) + 1
          expect(Math.abs(noisy - numbers.cSkip) / size).toBeLessThan(1e-12)
          expect(Math.abs(output - numbers.cOut) / size).toBeLessThan(1e-12)
        }
      }),
    )
  })
})

describe('what each prediction is', () => {
  const numbersOf = (kind: PredictionOptions, level: Level, schedule = scheduleOf('linear')) =>
    resolvePrediction(kind, schedule).numbers(level)

  test.each([0.01, 0.5, 3, 80])('edm at sigma %d has the published numbers', (sigma) => {
    const numbers = numbersOf('edm', { alpha: 1, sigma, time: sigma }, scheduleOf('edm'))
    const root = Math.sqrt(sigma ** 2 + 0.25)
    expect(relativeError(numbers.cIn, 1 / root)).toBeLessThan(1e-15)
    expect(relativeError(numbers.cSkip, 0.25 / (sigma ** 2 + 0.25))).toBeLessThan(1e-15)
    expect(relativeError(numbers.cOut, (sigma * 0.5) / root)).toBeLessThan(1e-15)
    // Table 1: F is trained towards (clean - cSkip x) / cOut.
    expect(relativeError(numbers.targetClean, (1 - numbers.cSkip) / numbers.cOut)).toBeLessThan(1e-12)
    expect(relativeError(numbers.targetNoise, (-numbers.cSkip * sigma) / numbers.cOut)).toBeLessThan(1e-12)
  })

  test.each([
    ['edm', {}],
    ['rectified-flow', {}],
    ['vp-sde', {}],
    ['rectified-flow', { noisiest: 1 }],
  ])('edm on %s gives the network input and target of variance 1', (kind, extra) => {
    const schedule = scheduleOf({ kind, ...extra })
    for (const time of [schedule.cleanest, 0.3, 0.9, schedule.noisiest]) {
      const level = schedule.level(time)
      const { cIn, targetClean, targetNoise } = numbersOf({ kind: 'edm', sigmaData: 0.7 }, level, schedule)
      const variance = (clean: number, noise: number): number => (clean * 0.7) ** 2 + noise ** 2
      expect(variance(cIn * level.alpha, cIn * level.sigma)).toBeCloseTo(1, 12)
      expect(variance(targetClean, targetNoise)).toBeCloseTo(1, 12)
    }
  })

  test('score is the gradient of ln p of one image and its noise', () => {
    // p(x) is normal around alpha · clean: d/dx -(x - alpha clean)² / (2 sigma²), by a central difference.
    const level = { alpha: 0.6, sigma: 0.8, time: 3 }
    const [clean, noise] = [0.4, -1.3]
    const x = level.alpha * clean + level.sigma * noise
    const logDensity = (at: number): number => -((at - level.alpha * clean) ** 2) / (2 * level.sigma ** 2)
    const gradient = (logDensity(x + 1e-4) - logDensity(x - 1e-4)) / 2e-4
    const plain = numbersOf('score', level)
    expect(plain.targetNoise * noise).toBeCloseTo(gradient, 9)
    const scaled = numbersOf({ kind: 'score', scaled: true }, level)
    expect(scaled.targetNoise * noise).toBeCloseTo(level.sigma * gradient, 9)
  })

  test('flow is the slope of the path from image to noise', () => {
    const schedule = scheduleOf('rectified-flow')
    const x = (time: number): number => schedule.level(time).alpha * 0.4 - schedule.level(time).sigma * 1.3
    const { targetClean, targetNoise } = numbersOf('flow', schedule.level(0.3), schedule)
    expect(targetClean * 0.4 - targetNoise * 1.3).toBeCloseTo((x(0.31) - x(0.29)) / 0.02, 12)
  })

  test.each(['linear', 'ncsn'])('previous-mean on %s is the mean of the step before', (kind) => {
    const schedule = scheduleOf(kind)
    for (const time of [0, 1, 50, schedule.noisiest]) {
      const level = schedule.level(time)
      const q = posterior(level, schedule.level(time - 1))
      const [clean, noise] = [0.4, -1.3]
      const x = level.alpha * clean + level.sigma * noise
      const { targetClean, targetNoise } = numbersOf('previous-mean', level, schedule)
      expect(targetClean * clean + targetNoise * noise).toBeCloseTo(q.meanNoisy * x + q.meanClean * clean, 12)
    }
    expect(numbersOf('previous-mean', schedule.level(0), schedule)).toMatchObject({ targetClean: 1, targetNoise: 0 })
  })

  test('every kind has its conversion tested', () => {
    const tested = [...continuous, 'previous-mean'].map((one) => (typeof one === 'string' ? one : one.kind))
    expect(new Set(tested)).toEqual(new Set(Object.keys(predictions)))
  })
})

describe('combinations that mean nothing', () => {
  const zero = { kind: 'linear', zeroTerminalSnr: true }
  test.each([
    [
      'noise',
      zero,
      'The prediction "noise" needs some signal at every time, but schedule `linear` has none left at time 999',
    ],
    ['score', { kind: 'rectified-flow', noisiest: 1 }, 'The prediction "score" needs some signal'],
    ['previous-mean', 'vp-sde', 'The prediction "previous-mean" needs a schedule of discrete times'],
    ['previous-mean', 'edm', 'schedule `edm`'],
  ])('%s with %j', (prediction, schedule, message) => {
    expect(() => createProcess(parseDiffusion({ prediction, schedule, timeLabel: 'thousandths' }))).toThrow(message)
  })
  test.each(['velocity', 'clean', 'flow', 'edm'])('%s is at home where no signal is left', (prediction) => {
    const { numbers } = createProcess(parseDiffusion({ prediction, schedule: zero })).prediction
    const { cSkip, cOut, targetClean } = numbers({ alpha: 0, sigma: 1, time: 999 })
    expect(cSkip * 0 + cOut * targetClean * 0.4).toBeCloseTo(0.4, 12)
  })
})
