import { describe, expect, test } from 'vitest'
import { defineOptions } from '../../lib/options/options.js'
import { type AveragingSettings, averagingSchema, createAveraging } from '../../lib/training/averaging.js'
import { powerOf } from '../../lib/training/power-profile.js'

const options = defineOptions('averaging', averagingSchema)

function decays(settings: unknown, steps: readonly number[], batch = 128): number[] {
  const averaging = createAveraging(options.parse(settings) as AveragingSettings)
  return steps.map((step) => averaging.decayAt(step, batch))
}

describe('averaging', () => {
  test('constant: DDPM', () => {
    expect(decays({ kind: 'constant' }, [1, 2, 800_000])).toEqual([0.9999, 0.9999, 0.9999])
  })

  test('warmup: score-SDE counts the update that it follows, so it begins with 2/11', () => {
    expect(decays({ kind: 'warmup' }, [1, 2, 100, 200_000])).toEqual([2 / 11, 0.25, 101 / 110, 0.9999])
    // (1 + n) / (10 + n) reaches 0.9999 at n = 89,990.
    const [below = 1, at] = decays({ kind: 'warmup' }, [89_989, 89_990])
    expect(below).toBeLessThan(0.9999)
    expect(at).toBe(0.9999)
  })

  test('half-life: EDM, numbers of its training loop with batch 512', () => {
    const edm = { kind: 'half-life', halfLifeImages: 500_000, rampup: 0.05 }
    const found = decays(edm, [1, 2, 101, 39_063], 512)
    expect(found[0]).toBe(0)
    expect(found[1]).toBeCloseTo(9.5367431640625e-7, 18)
    expect(found[2]).toBeCloseTo(0.8705505632961241, 14)
    expect(found[3]).toBeCloseTo(0.9992904691232699, 14)
  })

  test('half-life: after so many images a weight counts half, in any batch', () => {
    for (const batch of [8, 100, 500]) {
      const [decay = 0] = decays({ kind: 'half-life', halfLifeImages: 1000 }, [50], batch)
      expect(decay ** (1000 / batch)).toBeCloseTo(0.5, 12)
    }
  })

  test('power: exponents of EDM2, as its numpy code finds them', () => {
    expect(powerOf(0.05)).toBeCloseTo(16.972198602303447, 10)
    expect(powerOf(0.1)).toBeCloseTo(6.937203937601809, 10)
    expect(powerOf(0.15)).toBeCloseTo(3.5578687748994646, 10)
    expect(powerOf(0.288)).toBeCloseTo(0.013937436110155, 8)
    expect(powerOf(1 / Math.sqrt(12))).toBeCloseTo(0, 6)
  })

  test('power: decays of EDM2', () => {
    const found = decays({ kind: 'power', deviation: 0.05 }, [1, 2, 100, 100_000], 2048)
    expect(found[0]).toBe(0)
    expect(found[1]).toBeCloseTo(3.888921105204215e-6, 16)
    expect(found[2]).toBeCloseTo(0.8347469683432545, 12)
    expect(found[3]).toBeCloseTo(0.999820293264552, 12)
  })

  test('power: the profile of the average has the deviation that was asked for', () => {
    for (const deviation of [0.05, 0.1, 0.2]) {
      const averaging = createAveraging({ kind: 'power', deviation })
      const steps = 20_000
      // Weight of each update's parameters in the average after the last one, as a distribution over time in [0, 1].
      let [sum, mean, square] = [0, 0, 0]
      for (let step = 1; step <= steps; step++) {
        const decay = averaging.decayAt(step, 1)
        const time = step
        ;[sum, mean, square] = [
          decay * sum + 1 - decay,
          decay * mean + (1 - decay) * time,
          decay * square + (1 - decay) * time ** 2,
        ]
      }
      expect(sum).toBeCloseTo(1, 12)
      expect(Math.sqrt(square - mean ** 2) / steps).toBeCloseTo(deviation, 3)
    }
  })

  test('inverse-power: k-diffusion reaches 0.999 after 31,623 updates at power 2/3, as its documentation says', () => {
    const found = decays({ kind: 'inverse-power' }, [1, 2, 31_623, 1_000_000, 1_000_001])
    expect(found[0]).toBe(0)
    expect(found[1]).toBeCloseTo(1 - 2 ** (-2 / 3), 15)
    expect(found[2]).toBeCloseTo(0.999, 6)
    expect(found[4]).toBe(0.9999)
  })

  test('a wrong kind names the choices', () => {
    expect(() => options.parse({ kind: 'halflife' })).toThrow(
      /one of constant, warmup, half-life, power, inverse-power.*Did you mean "half-life"/,
    )
    expect(() => options.parse({ kind: 'power', deviation: 0.3 })).toThrow(
      /at most 0.288 for `deviation` but received 0.3/,
    )
  })
})
