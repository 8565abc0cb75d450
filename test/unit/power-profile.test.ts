import { describe, expect, test } from 'vitest'
import { createAveraging } from '../../lib/training/averaging.js'
import {
  deviationOf,
  innerProduct,
  largestDeviation,
  type PowerAverage,
  powerOf,
  reconstruct,
} from '../../lib/training/power-profile.js'

const close = (actual: number, wanted: number, tolerance = 1e-12): void =>
  expect(Math.abs(actual / wanted - 1)).toBeLessThan(tolerance)

/** The integral of f over [0, end], by Simpson's rule. */
function integral(f: (t: number) => number, end: number): number {
  const parts = 20_000
  let sum = f(0) + f(end)
  for (let i = 1; i < parts; i++) sum += (i % 2 === 1 ? 4 : 2) * f((i * end) / parts)
  return (sum * end) / parts / 3
}

/** Nothing after its step. */
function profile({ step, deviation }: PowerAverage): (t: number) => number {
  const gamma = powerOf(deviation)
  return (t) => (t > step ? 0 : ((gamma + 1) * t ** gamma) / step ** (gamma + 1))
}

describe('exponents and deviations', () => {
  // NVlabs/edm2, training/phema.py: std_to_exp and exp_to_std.
  test.each([
    [0.01, 96.99489782370986],
    [0.05, 16.972198602303447],
    [0.075, 10.289116448983853],
    [0.1, 6.937203937601809],
    [0.15, 3.557868774899463],
    [0.2, 1.8262137798958404],
    [0.25, 0.71982395800071],
  ])('deviation %d is exponent %d', (deviation, gamma) => {
    close(powerOf(deviation), gamma)
    close(deviationOf(gamma), deviation)
  })

  test('the plain mean is the widest', () => {
    close(deviationOf(0), largestDeviation)
    close(deviationOf(6.94), 0.09997226695670997)
    close(deviationOf(16.97), 0.050005488615773995)
  })
})

describe('the inner product of two profiles', () => {
  // phema.py: power_function_correlation.
  test.each([
    [100, 0.05, 100, 0.05, 0.09243253523859764],
    [100, 0.05, 100, 0.1, 0.05726713247539306],
    [100, 0.05, 70, 0.1, 0.00013454842196562164],
    [40, 0.1, 1000, 0.05, 1.0759447630112963e-26],
    [8_388_608, 0.05, 2_147_483_648, 0.1, 5.242323309927922e-26],
  ])('at steps and deviations %d, %d and %d, %d', (s, d, t, e, wanted) => {
    const [one, other] = [
      { step: s, deviation: d },
      { step: t, deviation: e },
    ]
    close(innerProduct(one, other), wanted, 1e-11)
    close(innerProduct(other, one), wanted, 1e-11)
  })

  test('is the integral of their product', () => {
    const [one, other] = [
      { step: 9, deviation: 0.07 },
      { step: 12, deviation: 0.2 },
    ]
    close(
      innerProduct(one, other),
      integral((t) => profile(one)(t) * profile(other)(t), 9),
      1e-8,
    )
  })
})

const stored = [0.05, 0.1].flatMap((deviation) => [20, 40, 60, 80, 100].map((step) => ({ step, deviation })))

describe('reconstruction', () => {
  // phema.py: solve_posthoc_coefficients.
  test.each([
    [
      100,
      0.075,
      [
        4.489714112259054e-9, 1.0595843642892937e-5, 0.0009375085786012153, 0.021352785316340286, 0.32438068938467507,
        -8.025781719842468e-8, -6.378529728777872e-5, -0.003615521093601853, -0.06668027474444525, 0.7236780777801785,
      ],
    ],
    [
      70,
      0.08,
      [
        6.259106173600613e-7, 0.0008402036791971846, 0.06827576881499177, -1.4023489823086597, 0, -8.554968796217009e-6,
        -0.004553418849849795, -0.06798102484608985, 2.40577538256859, 0,
      ],
    ],
  ])('has the coefficients of the public code: step %d, deviation %d', (step, deviation, wanted) => {
    const { coefficients } = reconstruct(stored, { step, deviation })
    for (const [i, one] of wanted.entries()) expect(Math.abs((coefficients[i] ?? 0) - one)).toBeLessThan(1e-11)
  })

  test('of an average that is stored is that one, and nothing is off', () => {
    const { coefficients, profileError } = reconstruct(stored, { step: 100, deviation: 0.05 })
    coefficients.forEach((one, i) => void expect(one).toBeCloseTo(i === 4 ? 1 : 0, 10))
    expect(profileError).toBeLessThan(1e-7)
  })

  test('of 512 averages is off by no more than 2e-5, and sums to one', () => {
    const many = [0.05, 0.1].flatMap((deviation) =>
      Array.from({ length: 256 }, (_, i) => ({ step: 8 * (i + 1), deviation })),
    )
    const { coefficients, profileError } = reconstruct(many, { step: 2048, deviation: 0.075 })
    // phema.py leaves 1.4e-5.
    expect(profileError).toBeGreaterThan(1e-5)
    expect(profileError).toBeLessThan(2e-5)
    expect(coefficients.reduce((sum, one) => sum + one, 0)).toBeCloseTo(1, 12)
  })

  test.each([0.075, 0.02])('says how far off the profile is that few averages leave: deviation %d', (deviation) => {
    const { coefficients, profileError } = reconstruct(stored, { step: 100, deviation })
    const wanted = profile({ step: 100, deviation })
    const profiles = stored.map(profile)
    const off = (t: number): number =>
      profiles.reduce((sum, one, i) => sum + (coefficients[i] ?? 0) * one(t), 0) - wanted(t)
    // Piece by piece: a profile ends with a jump at its step.
    let square = 0
    for (let begin = 0; begin < 100; begin += 20) square += integral((t) => off(begin + 1e-9 + t) ** 2, 20 - 2e-9)
    const length = integral((t) => wanted(t) ** 2, 100)
    close(profileError, Math.sqrt(square / length), 1e-5)
  })

  test('comes to what a run would have kept: weights that walk at random for 2,000 updates', () => {
    const deviations = [0.05, 0.1, 0.075, 0.15]
    const averagings = deviations.map((deviation) => createAveraging({ kind: 'power', deviation }))
    const averages = deviations.map(() => 0)
    const kept: { step: number; deviation: number; value: number }[] = []
    let [weight, state] = [0, 1]
    for (let step = 1; step <= 2000; step++) {
      state = (state * 16_807) % 2_147_483_647
      weight += state / 2_147_483_647 - 0.5
      averagings.forEach((averaging, i) => {
        const decay = averaging.decayAt(step, 1)
        averages[i] = decay * (averages[i] ?? 0) + (1 - decay) * weight
      })
      if (step % 50 === 0)
        for (const i of [0, 1]) kept.push({ step, deviation: deviations[i] ?? 0, value: averages[i] ?? 0 })
    }
    const spread = Math.max(...kept.map(({ value }) => Math.abs(value)))
    for (const i of [2, 3]) {
      const { coefficients } = reconstruct(kept, { step: 2000, deviation: deviations[i] ?? 0 })
      const found = kept.reduce((sum, { value }, k) => sum + (coefficients[k] ?? 0) * value, 0)
      expect(Math.abs(found - (averages[i] ?? 0)) / spread).toBeLessThan(1e-3)
    }
  })

  test('refuses nothing at all, and the same average twice', () => {
    expect(() => reconstruct([], { step: 1, deviation: 0.1 })).toThrow(/at least one stored average/)
    const one = { step: 10, deviation: 0.1 }
    expect(() => reconstruct([one, one], { step: 10, deviation: 0.05 })).toThrow(/two are the same/)
  })
})
