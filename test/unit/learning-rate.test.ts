import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { defineOptions } from '../../lib/options/options.js'
import { createLearningRate, learningRateSchema } from '../../lib/training/learning-rate.js'

const options = defineOptions('learningRate', learningRateSchema)

function rates(settings: unknown, total: number | undefined, steps: readonly number[]): number[] {
  return steps.map(createLearningRate(options.parse(settings), total))
}

describe('the learning rate', () => {
  test('of DDPM on CIFAR-10 rises from 0 to 2e-4 over 5,000 updates and stays', () => {
    const found = rates({ peak: 2e-4, warmupSteps: 5000 }, 800_000, [0, 1, 2500, 5000, 800_000])
    expect(found).toEqual([0, 2e-4 / 5000, 1e-4, 2e-4, 2e-4])
  })

  test('without a warm-up begins at its peak', () => {
    expect(rates({ peak: 1e-3 }, undefined, [0, 1])).toEqual([1e-3, 1e-3])
  })

  test('linear and cosine fall from the end of the warm-up to the end of the run, and stay there', () => {
    const steps = [10, 35, 60, 85, 110, 500]
    const linear = rates({ peak: 1, final: 0.2, warmupSteps: 10, decay: 'linear' }, 110, steps)
    for (const [i, rate] of [1, 0.8, 0.6, 0.4, 0.2, 0.2].entries()) expect(linear[i]).toBeCloseTo(rate, 14)
    const cosine = rates({ peak: 1, final: 0.2, warmupSteps: 10, decay: 'cosine' }, 110, steps)
    const half = Math.SQRT1_2
    const closed = [1, 0.6 + 0.4 * half, 0.6, 0.6 - 0.4 * half, 0.2, 0.2]
    for (const [i, rate] of closed.entries()) expect(cosine[i]).toBeCloseTo(rate, 14)
  })

  test('per epoch falls between epochs only: that of epoch e of E is peak (1 - e / E), also where epochs end within a batch', () => {
    const settings = options.parse({ peak: 1e-3, decay: 'linear', perEpoch: true })
    for (const [perEpoch, epochs] of [
      [894, 32],
      [2.4, 5],
    ] as const) {
      const rate = createLearningRate(settings, perEpoch * epochs, perEpoch)
      for (let step = 0; step < perEpoch * epochs; step++) {
        const epoch = Math.floor((step * 10) / (perEpoch * 10))
        expect(rate(step)).toBeCloseTo(1e-3 * (1 - epoch / epochs), 14)
      }
    }
  })

  test('exponential falls by the same factor in equal times', () => {
    const found = rates({ peak: 1, final: 1e-4, decay: 'exponential' }, 100, [0, 25, 50, 75, 100])
    for (const [i, rate] of [1, 0.1, 0.01, 0.001, 0.0001].entries()) expect(found[i]).toBeCloseTo(rate, 14)
  })

  test('of EDM2 falls with the square root of the updates after the reference, under a ramp of 10 million images', () => {
    const edm2 = { peak: 0.01, decay: 'inverse-square-root', referenceSteps: 70_000, warmupSteps: 10e6 / 2048 }
    const found = rates(edm2, undefined, [0, 2441.40625, 4882.8125, 70_000, 280_000, 1_048_576])
    const closed = [0, 0.005, 0.01, 0.01, 0.005, 0.01 / Math.sqrt(1_048_576 / 70_000)]
    for (const [i, rate] of closed.entries()) expect(found[i]).toBeCloseTo(rate, 15)
  })

  test('ends at decaySteps when that is given', () => {
    expect(rates({ peak: 1, decay: 'linear', decaySteps: 10 }, undefined, [5, 10, 20])).toEqual([0.5, 0, 0])
  })

  test('never leaves the range from 0 to its peak, and never rises after the warm-up', () => {
    const decay = fc.constantFrom('constant', 'linear', 'cosine', 'exponential', 'inverse-square-root')
    const settings = fc.record({
      peak: fc.constant(1),
      decay,
      final: fc.double({ min: 1e-6, max: 1, noNaN: true }),
      warmupSteps: fc.nat(50),
    })
    fc.assert(
      fc.property(settings, fc.integer({ min: 1, max: 200 }), (one, total) => {
        const found = rates(
          one,
          total,
          Array.from({ length: 300 }, (_, step) => step),
        )
        for (const [step, rate] of found.entries()) {
          expect(rate).toBeGreaterThanOrEqual(0)
          expect(rate).toBeLessThanOrEqual(1)
          if (step > one.warmupSteps) expect(rate).toBeLessThanOrEqual((found[step - 1] ?? 0) + 1e-15)
        }
      }),
      { numRuns: 50 },
    )
  })

  test('refuses a decay without an end, and a final rate that is no end', () => {
    expect(() => rates({ decay: 'cosine' }, undefined, [])).toThrow(
      /cosine decay.*budget is in minutes only.*decaySteps/,
    )
    expect(() => options.parse({ peak: 1, final: 2 })).toThrow(/at most `peak` for `final`, received 2/)
    expect(() => options.parse({ peak: 1, decay: 'exponential' })).toThrow(/above 0.*for `final`/)
    expect(() => options.parse({ decay: 'cosin' })).toThrow(/one of constant, linear, cosine.*Did you mean "cosine"/)
  })
})
