/** Likelihoods in bits per dimension of 8-bit images, where the model's law is known. */
import { beforeAll, describe, expect, test } from 'vitest'
import { MemoryDataSet } from '../../lib/datasets/memory-data-set.js'
import { createSchedule, type DiffusionOptions, parseDiffusion } from '../../lib/diffusion/diffusion-options.js'
import { bitsPerDimension, logMeanExp } from '../../lib/diffusion/likelihood/bits-per-dimension.js'
import { dequantizations } from '../../lib/diffusion/likelihood/dequantization.js'
import { discretizedGaussians } from '../../lib/diffusion/likelihood/discretized-gaussian.js'
import type { LikelihoodDenoiser } from '../../lib/diffusion/likelihood/likelihood-denoiser.js'
import { logNormalInterval } from '../../lib/diffusion/likelihood/normal-interval.js'
import type { Schedule } from '../../lib/diffusion/schedule.js'
import type { OdeDetails } from '../../lib/evaluation/flow-likelihood.js'
import { evaluateLikelihood, type LikelihoodOptions, type LikelihoodResult } from '../../lib/evaluation/likelihood.js'
import type { VlbDetails } from '../../lib/evaluation/variational-likelihood.js'
import { correlatedGaussian } from './correlated-gaussian.js'

function scheduleOf(schedule: DiffusionOptions['schedule']): Schedule {
  return createSchedule(parseDiffusion({ schedule, prediction: 'clean', timeLabel: 'quarter-log-ratio' }).schedule)
}

const cosine = (steps: number): Schedule => scheduleOf({ kind: 'cosine', steps })
const linear = (steps: number): Schedule => scheduleOf({ kind: 'linear', steps, scaleToSteps: true })

/** Images of a Gaussian, rounded to 8 bits. */
function imagesOf(count: number, channels: number, height: number, width: number) {
  const elements = channels * height * width
  const data = correlatedGaussian(elements)
  const images = new Uint8Array(count * elements)
  for (let n = 0; n < count; n++) {
    images.set(
      Uint8Array.from(data.sample(n), (value) => Math.round((value + 1) * 127.5)),
      n * elements,
    )
  }
  const dataSet = new MemoryDataSet({ name: 'gaussian', channels, height, width, images, labels: null, classes: [] })
  // A bin is narrow beside the deviations, at least 0.1: its mass is its density times its width to 1e-3 bits.
  const bits = Array.from({ length: count }, (_, n) => {
    const x = Float64Array.from(images.subarray(n * elements, (n + 1) * elements), (value) => value / 127.5 - 1)
    return bitsPerDimension(-data.logDensity(x), elements, 2 / 255)
  })
  return { data, dataSet, bits: bits.reduce((sum, one) => sum + one, 0) / count }
}

const { data, dataSet, bits: exactBits } = imagesOf(8, 3, 8, 8)

function vlb(
  schedule: Schedule,
  options: Omit<LikelihoodOptions, 'method'> & { readonly method: object },
): Promise<LikelihoodResult> {
  return evaluateLikelihood({ denoiser: data.denoiser(schedule), variance: 'fixed-large' }, dataSet, {
    ...options,
    // The law of a broad Gaussian's reverse step, at time 0 too, comes near to beta, not to the posterior's variance.
    method: { kind: 'vlb', clip: false, decoder: 'erf', logVarianceClip: 'floor', ...options.method },
  })
}

describe('the variational bound on Gaussian data in 3×8×8', () => {
  let bounds: LikelihoodResult[]

  beforeAll(async () => {
    bounds = []
    for (const steps of [25, 100, 400]) bounds.push(await vlb(linear(steps), { method: {} }))
  })

  test('is above -log2 p, and comes down to it as the number of steps grows', () => {
    const gaps = bounds.map(({ bitsPerDimension: bits }) => bits - exactBits)
    const [few = 0, more = 0, most = 0] = gaps
    expect(most).toBeGreaterThan(0)
    expect(more).toBeGreaterThan(2 * most)
    expect(few).toBeGreaterThan(2 * more)
    expect(most).toBeLessThan(0.02)
  })

  test('is the sum of the prior and the terms, and its curve spends all of it', () => {
    const { bitsPerDimension: bits, details } = bounds[0] as LikelihoodResult & { details: VlbDetails }
    const sum = details.terms.reduce((total, term) => total + term.bits, details.prior ?? Number.NaN)
    expect(sum).toBeCloseTo(bits, 10)
    expect(details.decoders.erf).toBeCloseTo(bits, 10)
    expect(details.curve[0]).toMatchObject({ time: 24, rate: details.prior })
    expect(details.curve.at(-1)?.rate).toBeCloseTo(bits, 10)
    expect(details.curve.at(-1)?.distortion).toBe(0)
    const rates = details.curve.map(({ rate }) => rate)
    expect(rates).toEqual(rates.toSorted((a, b) => a - b))
    // With nothing received the best picture is the mean: the error is the data's own deviation, in 8-bit steps.
    const variance = data.variances.reduce((total, one) => total + one, 0) / data.dimensions
    expect((details.curve[0]?.distortion ?? 0) / (127.5 * Math.sqrt(variance))).toBeCloseTo(1, 1)
  })

  test('its error is the deviation between the images over the square root of their number', () => {
    const { each, bitsPerDimension: mean, standardError, protocol } = bounds[0] as LikelihoodResult
    const squares = each.reduce((sum, { bitsPerDimension: one }) => sum + (one - mean) ** 2, 0)
    expect(standardError).toBeCloseTo(Math.sqrt(squares / 7 / 8), 12)
    expect(protocol).toMatchObject({ images: 8, whole: true, data: 'gaussian', shape: [3, 8, 8], seed: 0 })
  })

  test('one time out of each part: with as many parts as times the bound itself, with fewer its estimate', async () => {
    const all = await vlb(linear(25), { method: { times: 24 } })
    expect(all.bitsPerDimension).toBeCloseTo(bounds[0]?.bitsPerDimension ?? Number.NaN, 10)
    const full = bounds[1]?.bitsPerDimension ?? Number.NaN
    const some = await Promise.all(
      Array.from({ length: 12 }, (_, seed) => vlb(linear(100), { method: { times: 9 }, seed })),
    )
    const means = some.map((one) => one.bitsPerDimension)
    const mean = means.reduce((sum, one) => sum + one, 0) / 12
    const deviation = Math.sqrt(means.reduce((sum, one) => sum + (one - mean) ** 2, 0) / 11)
    expect(Math.abs(mean - full)).toBeLessThan((3.5 * deviation) / Math.sqrt(12))
  })

  test('does not depend on the batch that an image is in', async () => {
    const small = await vlb(linear(25), { method: {}, batch: 3 })
    expect(small.each).toEqual(bounds[0]?.each)
  })

  test('weighing whole paths brings the bound down, the more of them the closer', async () => {
    const schedule = cosine(6)
    const single = await vlb(schedule, { method: {} })
    const results = await Promise.all([4, 32].map((paths) => vlb(schedule, { method: { paths } })))
    const bits = [single, ...results].map((one) => one.bitsPerDimension)
    expect(bits).toEqual(bits.toSorted((a, b) => b - a))
    expect(bits.at(-1)).toBeGreaterThan(exactBits)
    expect((bits.at(-1) ?? 0) - exactBits).toBeLessThan(0.95 * ((bits[0] ?? 0) - exactBits))
  })
})

describe('the discretised Gaussian', () => {
  const values = Array.from({ length: 256 }, (_, value) => value / 127.5 - 1)

  test.each([-7, -4, -1, 1])(
    'with either distribution function the 256 values share all of it (log deviation %s)',
    (log) => {
      for (const density of Object.values(discretizedGaussians)) {
        for (const mean of [-1.3, -0.4, 0, 0.9]) {
          const total = values.reduce((sum, value) => sum + Math.exp(density(value, mean, log)), 0)
          expect(total).toBeCloseTo(1, 8)
        }
      }
    },
  )

  test('the published approximation differs by up to 0.1 % of a bin near the middle, and stops at 1e-12 far out', () => {
    const [{ tanh, erf }, deviation] = [discretizedGaussians, Math.log(0.1)]
    const middle = values.filter((value) => Math.abs(value) < 0.1)
    const differences = middle.map((value) => Math.abs(tanh(value, 0, deviation) - erf(value, 0, deviation)))
    expect(Math.max(...differences)).toBeLessThan(2e-3)
    expect(Math.max(...differences)).toBeGreaterThan(1e-5)
    expect(tanh(0.9, -0.9, deviation)).toBeCloseTo(Math.log(1e-12), 10)
    expect(erf(0.9, -0.9, deviation)).toBeLessThan(-150)
  })
})

describe('the probability flow on 8-bit images', () => {
  /** Independent values of deviation 0.006: less than one bin, so that where in its bin a value is put counts. */
  const deviation = 0.006
  const grey = new MemoryDataSet({
    name: 'narrow',
    channels: 1,
    height: 2,
    width: 2,
    images: Uint8Array.from({ length: 24 }, (_, i) => [126, 127, 128, 129][(i * 7) % 4] ?? 0),
    labels: null,
    classes: [],
  })
  const schedule = scheduleOf('edm')
  const gain = ({ sigma }: { sigma: number }): number => deviation ** 2 / (deviation ** 2 + sigma ** 2)
  const denoiser: LikelihoodDenoiser = {
    schedule,
    denoise: async (x, levels) => ({ clean: x.map((one, i) => gain(levels[i >> 2] as never) * one) }),
    pull: async (x, levels, vector) => ({
      clean: x.map((one, i) => gain(levels[i >> 2] as never) * one),
      product: vector.map((one, i) => gain(levels[i >> 2] as never) * one),
    }),
  }
  const run = (method: object): Promise<LikelihoodResult> =>
    evaluateLikelihood({ denoiser, variance: 'fixed-small' }, grey, {
      method: { kind: 'ode', solver: 'rk4', steps: 40, ...method },
    })

  test('more dequantised draws come closer to -log2 of the mass of the bins, from above', async () => {
    const spread = Math.hypot(deviation, schedule.level(schedule.cleanest).sigma)
    const mass = (value: number): number =>
      logNormalInterval((value / 128 - 1) / spread, ((value + 1) / 128 - 1) / spread)
    const values = new Uint8Array(24)
    await grey.read([0, 1, 2, 3, 4, 5], values)
    const exact = bitsPerDimension(-values.reduce((sum, value) => sum + mass(value), 0), 24)
    const bits: number[] = []
    for (const draws of [1, 6, 48]) bits.push((await run({ draws })).bitsPerDimension)
    expect(bits).toEqual(bits.toSorted((a, b) => b - a))
    expect(bits[0]).toBeGreaterThan(exact + 0.05)
    expect(bits[2]).toBeGreaterThan(exact - 0.01)
    expect(bits[2]).toBeLessThan(exact + 0.03)
  })

  test('the bins of uniform dequantisation fill [-1, 1], those of centered lie about the numbers trained on', async () => {
    const { uniform, centered, none } = dequantizations
    expect([uniform.place(0, 0), uniform.place(255, 1)]).toEqual([-1, 1])
    expect(centered.place(40, 0.5)).toBeCloseTo(none.place(40), 14)
    expect((await run({})).details).toEqual({ kind: 'ode', offset: 7, evaluations: 160 } satisfies OdeDetails)
    expect((await run({ dequantization: 'none' })).details).toMatchObject({ offset: Math.log2(127.5) })
  })
})

test('the mean of exponentials neither overflows nor loses what is small', () => {
  expect(logMeanExp([1000, 1000 + Math.log(3)])).toBeCloseTo(1000 + Math.log(2), 12)
  expect(logMeanExp([-5000])).toBe(-5000)
})

describe('what cannot be is refused', () => {
  const run = (schedule: Schedule, method: unknown, rest: Partial<LikelihoodOptions> = {}): Promise<LikelihoodResult> =>
    evaluateLikelihood({ denoiser: data.denoiser(schedule), variance: 'fixed-small' }, dataSet, {
      method: method as never,
      ...rest,
    })

  test.each([
    [
      scheduleOf('vp-sde'),
      'vlb',
      {},
      /time is continuous in schedule `vp-sde`. Use the method "continuous-vlb" or "ode"/,
    ],
    [cosine(10), 'vbl', {}, /Did you mean "vlb"/],
    [cosine(10), { kind: 'vlb', times: 10 }, {}, /at most 9 for a schedule of 10 times for `times`/],
    [cosine(10), { kind: 'vlb', times: 3, paths: 2 }, {}, /Give one or the other/],
    [cosine(10), { kind: 'ode', dequantization: 'none', draws: 2 }, {}, /`draws` 2 of each image are all the same/],
    [cosine(10), { kind: 'ode', start: -1 }, {}, /a time above -1 and below 9 for `start`/],
    [cosine(10), 'ode', { images: 9 }, /a whole number from 1 to 8 for `images`/],
  ] as const)('%#', async (schedule, method, rest, message) => {
    await expect(run(schedule, method, rest)).rejects.toMatchObject({
      code: 'DPM_INVALID_OPTION',
      message: expect.stringMatching(message),
    })
  })

  test('a learned variance that the denoiser does not say', async () => {
    const model = { denoiser: data.denoiser(cosine(10)), variance: 'learned-range' } as const
    await expect(evaluateLikelihood(model, dataSet, { method: 'vlb' })).rejects.toMatchObject({
      code: 'DPM_INVALID_ARGUMENT',
      message: expect.stringMatching(/learned/),
    })
  })

  test('a signal that fires in the middle', async () => {
    const controller = new AbortController()
    const onProgress = (): void => controller.abort()
    await expect(run(cosine(10), 'vlb', { signal: controller.signal, onProgress, batch: 1 })).rejects.toMatchObject({
      code: 'DPM_ABORTED',
    })
  })
})
