/** log p by the probability flow, where it is known. */
import { describe, expect, test } from 'vitest'
import { createSchedule, type DiffusionOptions, parseDiffusion } from '../../lib/diffusion/diffusion-options.js'
import type { Level, Schedule } from '../../lib/diffusion/schedule.js'
import { type FlowSolver, flowDensity } from '../../lib/evaluation/flow-density.js'
import type { Trace } from '../../lib/evaluation/probability-flow.js'
import { type CorrelatedGaussian, correlatedGaussian } from './correlated-gaussian.js'

const every: NonNullable<DiffusionOptions['schedule']>[] = [
  'linear',
  'cosine',
  'vp-sde',
  'sub-vp-sde',
  've-sde',
  'edm',
  'rectified-flow',
  { kind: 'rectified-flow', noisiest: 1 },
]
const named = every.map((options) => [JSON.stringify(options), options] as const)

function scheduleOf(schedule: DiffusionOptions['schedule']): Schedule {
  return createSchedule(parseDiffusion({ schedule, prediction: 'clean', timeLabel: 'quarter-log-ratio' }).schedule)
}

/** Song et al. 2021, appendix D.2. */
const published: FlowSolver = { kind: 'rk45', tolerance: 1e-5, maxEvaluations: 10_000 }

interface Asked {
  readonly images?: readonly number[]
  readonly solver?: FlowSolver
  readonly trace?: Trace
}

async function run(data: CorrelatedGaussian, schedule: Schedule, { images = [0], solver, trace }: Asked = {}) {
  const x = new Float64Array(images.length * data.dimensions)
  for (const [n, image] of images.entries()) x.set(data.sample(image), n * data.dimensions)
  return flowDensity({
    denoiser: data.denoiser(schedule),
    x,
    examples: images,
    draw: 0,
    start: schedule.level(schedule.cleanest),
    solver: solver ?? { kind: 'rk45', tolerance: 1e-8, maxEvaluations: 10_000 },
    trace: trace ?? { kind: 'exact' },
    seed: 0,
  })
}

/**
 * The flow of a Gaussian is known: each axis of its covariance grows by the ratio of the deviations at the two ends. So is,
 * then, the density that the prior at the noisy end has at the other.
 */
function flowedPrior(data: CorrelatedGaussian, schedule: Schedule, image: number): number {
  const [first, last] = [schedule.level(schedule.cleanest), schedule.level(schedule.noisiest)]
  const deviation = ({ alpha, sigma }: Level, variance: number): number => Math.sqrt(alpha ** 2 * variance + sigma ** 2)
  const gains = data.variances.map((variance) => deviation(last, variance) / deviation(first, variance))
  const prior = schedule.prior(last)
  const deviations = data.sample(image).map((one, i) => one - first.alpha * (data.mean[i] ?? 0))
  const turned = data.turnBack(deviations).map((one, i) => (gains[i] ?? 0) * one)
  const end = data.turn(turned).map((one, i) => one + last.alpha * (data.mean[i] ?? 0))
  return end.reduce(
    (sum, one, i) =>
      sum - (one / prior) ** 2 / 2 - Math.log(prior) - Math.log(2 * Math.PI) / 2 + Math.log(gains[i] ?? 0),
    0,
  )
}

describe('Gaussian data', () => {
  test.each(named)('%s: the flow gives what its closed form gives, to 1e-6 nats', async (_, options) => {
    const schedule = scheduleOf(options)
    const data = correlatedGaussian(6)
    const { logDensities } = await run(data, schedule, { images: [0, 1] })
    for (const image of [0, 1]) {
      expect(Math.abs((logDensities[image] ?? Number.NaN) - flowedPrior(data, schedule, image))).toBeLessThan(1e-6)
    }
  })

  test('3×8×8 within 0.001 bits per dimension of log p with the exact trace', async () => {
    const data = correlatedGaussian(192)
    const { logDensities, evaluations } = await run(data, scheduleOf('vp-sde'), { solver: published })
    const error = (logDensities[0] ?? Number.NaN) - data.logDensity(data.sample(0))
    expect(Math.abs(error) / 192 / Math.LN2).toBeLessThan(0.001)
    expect(evaluations[0]).toBeLessThan(130)
  })

  test.each(['linear', 'edm', 'rectified-flow'] as const)(
    '%s: 3×8×8 within 0.01 bits per dimension of log p on the mean of 6 images with 8 probes each',
    async (options) => {
      const data = correlatedGaussian(192)
      const images = [0, 1, 2, 3, 4, 5]
      const trace: Trace = { kind: 'rademacher', probes: 8 }
      const { logDensities } = await run(data, scheduleOf(options), { images, solver: published, trace })
      const errors = images.map((image) => (logDensities[image] ?? Number.NaN) - data.logDensity(data.sample(image)))
      expect(Math.abs(errors.reduce((sum, one) => sum + one, 0)) / 6 / 192 / Math.LN2).toBeLessThan(0.01)
    },
  )

  test('a sample has the same bytes alone and in company', async () => {
    const data = correlatedGaussian(6)
    const schedule = scheduleOf('vp-sde')
    const trace: Trace = { kind: 'gaussian', probes: 2 }
    const together = await run(data, schedule, { images: [4, 5, 6], trace })
    const alone = await run(data, schedule, { images: [5], trace })
    expect(alone.logDensities[0]).toBe(together.logDensities[1])
  })

  test.each([
    ['euler', 1],
    ['heun', 2],
    ['rk4', 4],
  ] as const)('%s falls by 2^%i when the steps are doubled', async (kind, order) => {
    const data = correlatedGaussian(6)
    const schedule = scheduleOf('vp-sde')
    const exact = flowedPrior(data, schedule, 0)
    const error = async (steps: number): Promise<number> =>
      Math.abs(((await run(data, schedule, { solver: { kind, steps } })).logDensities[0] ?? Number.NaN) - exact)
    const steps = order === 4 ? 64 : 256
    expect(Math.log2((await error(steps)) / (await error(2 * steps)))).toBeCloseTo(order, 0)
  })

  test('probes are right on average, and random signs vary less than normals', async () => {
    const data = correlatedGaussian(12)
    const schedule = scheduleOf('edm')
    const exact = flowedPrior(data, schedule, 0)
    const x = data.sample(0)
    const images = Array.from({ length: 144 }, (_, n) => n)
    const estimates = async (kind: 'rademacher' | 'gaussian') => {
      const all = new Float64Array(images.length * 12)
      for (const n of images) all.set(x, n * 12)
      const { logDensities } = await flowDensity({
        denoiser: data.denoiser(schedule),
        x: all,
        examples: images,
        draw: 0,
        start: schedule.level(schedule.cleanest),
        solver: { kind: 'rk4', steps: 24 },
        trace: { kind, probes: 1 },
        seed: 3,
      })
      const mean = logDensities.reduce((sum, one) => sum + one, 0) / images.length
      const deviation = Math.sqrt(logDensities.reduce((sum, one) => sum + (one - mean) ** 2, 0) / (images.length - 1))
      return { error: Math.abs(mean - exact), deviation }
    }
    const [signs, normal] = [await estimates('rademacher'), await estimates('gaussian')]
    for (const { error, deviation } of [signs, normal]) expect(error).toBeLessThan((4 * deviation) / 12 + 0.02)
    expect(signs.deviation).toBeLessThan(0.5 * normal.deviation)
  })
})

describe('what is asked of a denoiser', () => {
  test('without vector–Jacobian products, differences do', async () => {
    const data = correlatedGaussian(6)
    const schedule = scheduleOf('vp-sde')
    const { denoise } = data.denoiser(schedule)
    const x = data.sample(0)
    const { logDensities } = await flowDensity({
      denoiser: { schedule, denoise },
      x,
      examples: [0],
      draw: 0,
      start: schedule.level(schedule.cleanest),
      solver: { kind: 'rk45', tolerance: 1e-6, maxEvaluations: 10_000 },
      trace: { kind: 'exact' },
      seed: 0,
    })
    expect(Math.abs((logDensities[0] ?? Number.NaN) - flowedPrior(data, schedule, 0))).toBeLessThan(1e-3)
  })

  test('an answer that is not a number is refused, naming image and time', async () => {
    const data = correlatedGaussian(6)
    const schedule = scheduleOf('vp-sde')
    const denoise = async (x: Float64Array) => ({ clean: x.map(() => Number.NaN) })
    const broken = { ...data, denoiser: () => ({ schedule, denoise }) } as unknown as CorrelatedGaussian
    await expect(run(broken, schedule, { images: [17] })).rejects.toMatchObject({
      code: 'DPM_NON_FINITE',
      message: expect.stringMatching(/image 17 is not finite at time/),
    })
  })
})
