import { describe, expect, test } from 'vitest'
import { defineOptions } from '../../lib/options/options.js'
import { budgetSchema, createBudget } from '../../lib/training/budget.js'
import { formatDuration, progressLine, SpeedEstimator } from '../../lib/training/progress.js'

const options = defineOptions('budget', budgetSchema)
const context = { batch: 128, dataSetLength: 50_000 }
const budget = (settings: unknown) => createBudget(options.parse(settings), context)

describe('the budget', () => {
  test('in steps, epochs and images is a number of updates', () => {
    expect(budget({ steps: 800_000 }).totalSteps).toBe(800_000)
    // CIFAR-10: 50,000 / 128 = 390.625 updates an epoch; batches run across the epochs' ends.
    expect(budget({ epochs: 1 }).totalSteps).toBe(391)
    expect(budget({ epochs: 128 }).totalSteps).toBe(50_000)
    expect(budget({ images: 200e6 }).totalSteps).toBe(1_562_500)
    expect(budget({ minutes: 3 }).totalSteps).toBeUndefined()
  })

  test('ends at the first limit that is reached', () => {
    const both = budget({ steps: 100, epochs: 1, minutes: 2 })
    expect(both.totalSteps).toBe(100)
    expect([both.done(99, 119), both.done(100, 0), both.done(0, 120)]).toEqual([false, true, true])
    expect([both.fraction(50, 0), both.fraction(50, 90), both.fraction(200, 0)]).toEqual([0.5, 0.75, 1])
  })

  test('tells the time left by whichever limit comes first', () => {
    const both = budget({ steps: 100, minutes: 2 })
    expect(both.secondsLeft(50, 10, 1)).toBe(50)
    expect(both.secondsLeft(50, 100, 1)).toBe(20)
    expect(both.secondsLeft(50, 100, undefined)).toBe(20)
    expect(budget({ steps: 100 }).secondsLeft(0, 0, undefined)).toBeUndefined()
    expect(budget({ steps: 100 }).secondsLeft(120, 0, 1)).toBe(0)
  })

  test('without any limit is refused, naming the choices', () => {
    expect(() => budget({})).toThrow(/at least one of steps, epochs, images, minutes/)
    expect(() => budget({ step: 5 })).toThrow(/Unknown option `step`. Did you mean `steps`/)
    expect(() => budget({ steps: 0 })).toThrow(/at least 1 for `steps` but received 0/)
  })
})

describe('the speed', () => {
  test('is that of the updates after the slow first ones', () => {
    const speed = new SpeedEstimator(8)
    expect(speed.imagesPerSecond).toBeUndefined()
    // The first update took 100 s, the others 0.5 s each.
    for (let step = 1; step <= 20; step++) speed.report(step, 100 + (step - 1) * 0.5)
    speed.report(21, 110)
    expect(speed.stepsPerSecond).toBe(2)
    expect(speed.imagesPerSecond).toBe(16)
    expect(speed.secondsFor(100)).toBe(50)
  })

  test('is known from the second report on, slow as it may be', () => {
    const speed = new SpeedEstimator(1)
    speed.report(1, 0)
    speed.report(2, 10)
    expect(speed.stepsPerSecond).toBe(0.1)
  })

  test('follows a change, and counts from the step of a resume', () => {
    const speed = new SpeedEstimator(1)
    for (let i = 0; i <= 100; i++) speed.report(1000 + i, i)
    for (let i = 1; i <= 100; i++) speed.report(1100 + i, 100 + i * 10)
    expect(speed.stepsPerSecond).toBeCloseTo(0.1, 12)
  })
})

describe('what the terminal shows', () => {
  test.each([
    [0.4, '0 s'],
    [59.4, '59 s'],
    [59.6, '1 min'],
    [200, '3 min 20 s'],
    [3599.7, '1 h'],
    [7500, '2 h 5 min'],
    [86_399, '1 d'],
    [3 * 86_400 + 4 * 3600, '3 d 4 h'],
    [Number.POSITIVE_INFINITY, 'unknown'],
    [-5, '0 s'],
  ])('%s seconds are %s', (seconds, text) => {
    expect(formatDuration(seconds)).toBe(text)
  })

  const values = {
    step: 1200,
    total: 10_000,
    loss: 0.0312,
    imagesPerSecond: 512.4,
    etaSeconds: 4320,
    epoch: 3,
    epochs: 25,
  }

  test('a progress line tells all that is known', () => {
    expect(progressLine(values)).toBe(
      'step 1,200 of 10,000 (12 %) · epoch 3 of 25 · loss 0.03120 · 512 images/s · 1 h 12 min left',
    )
    expect(progressLine({ step: 7, loss: 1.5e-6 })).toBe('step 7 · loss 1.500e-6')
    expect(progressLine({ step: 1, total: 3, loss: Number.NaN, imagesPerSecond: 0.123 })).toBe(
      'step 1 of 3 (33 %) · loss NaN · 0.12 images/s',
    )
  })

  test('it fits its terminal, and 100 % is said only at the end', () => {
    expect(progressLine(values, 60)).toBe('step 1,200 of 10,000 (12 %) · epoch 3 of 25 · loss 0.03120')
    expect(progressLine({ step: 99_999, total: 100_000 })).toMatch(/\(99 %\)/)
    expect(progressLine({ step: 100_000, total: 100_000 })).toMatch(/\(100 %\)/)
  })
})
