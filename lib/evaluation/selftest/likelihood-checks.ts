/**
 * Every likelihood of the list on images whose own is known: 3×8×8 images, each element drawn from a Gaussian or from a
 * mixture, and the perfect denoiser. The error is the difference to what the method has for its expectation:
 *
 *     ode   log p of the dequantised values themselves
 *     vlb   the bound with the mean over the noise of every term. A run has one draw of each, and the deviation of a
 *           value's bound is about 1.2 bits: over the 196,608 values of 1024 images that leaves 0.003, a third of what is
 *           allowed
 *
 * A method without a line here is held to log p of the values at the middle of their bins.
 */
import { MemoryDataSet } from '../../datasets/memory-data-set.js'
import { createSchedule, parseDiffusion } from '../../diffusion/diffusion-options.js'
import { bitsPerDimension } from '../../diffusion/likelihood/bits-per-dimension.js'
import {
  type DequantizationKind,
  dequantizationKinds,
  dequantizations,
} from '../../diffusion/likelihood/dequantization.js'
import { discretizedGaussians } from '../../diffusion/likelihood/discretized-gaussian.js'
import type { PullingDenoiser } from '../../diffusion/likelihood/likelihood-denoiser.js'
import { normalDivergence } from '../../diffusion/likelihood/normal-divergence.js'
import { variationalStep } from '../../diffusion/likelihood/variational-step.js'
import type { DiscreteSchedule, Level, Schedule } from '../../diffusion/schedule.js'
import { uniforms } from '../../random/uniforms.js'
import { type AnalyticData, analyticDenoiser } from '../analytic/analytic-data.js'
import { gaussian } from '../analytic/gaussian.js'
import { gaussianMixture } from '../analytic/gaussian-mixture.js'
import { evaluateLikelihood, type LikelihoodMethodOptions, likelihoods } from '../likelihood.js'
import { quantilesAt } from './problems.js'

export type LikelihoodKind = keyof typeof likelihoods

export interface LikelihoodCheck {
  readonly likelihood: LikelihoodKind
  /** Options that are not the defaults, in words; empty where there are none. */
  readonly variant: string
  readonly data: string
  readonly schedule: string
  readonly images: number
  readonly bitsPerDimension: number
  /** What the method should find. */
  readonly exact: number
  /** Distance between the two, bits per dimension. */
  readonly error: number
  /** Of the mean of their difference over the images: what chance leaves of the error. */
  readonly standardError: number
  /** -log2 p of the images: what a bound is above. */
  readonly bitsOfData: number
  readonly passes: boolean
}

/** Bits per dimension that a likelihood may err by. */
export const allowedError = 0.01

const shape = { channels: 3, height: 8, width: 8 } as const
const elements = 192
const seed = 0

/** Laws that [-1, 1] has room for. */
const laws: readonly AnalyticData[] = [
  gaussian({ mean: 0.1, deviation: 0.2 }),
  gaussianMixture([
    { weight: 0.4, mean: -0.4, deviation: 0.1 },
    { weight: 0.6, mean: 0.3, deviation: 0.15 },
  ]),
]

interface Case {
  readonly likelihood: LikelihoodKind
  readonly variant: string
  readonly method: LikelihoodMethodOptions
  readonly schedule: Schedule
  readonly images: number
  /** -log2 of the likelihood of the values of an image that the method should find, per dimension. */
  exact(data: AnalyticData): (values: Uint8Array, example: number) => number
}

const linear = scheduleOf({ kind: 'linear', steps: 25, scaleToSteps: true }) as DiscreteSchedule
const continuous = scheduleOf('vp-sde')
const variance = 'fixed-large'
const logVarianceClip = 'second-step'

const cases: readonly Case[] = [
  {
    likelihood: 'vlb',
    variant: 'without clip, erf decoder',
    method: { kind: 'vlb', clip: false, decoder: 'erf', logVarianceClip },
    schedule: linear,
    images: 1024,
    exact: (data) => meanOver(boundOfValue(data, linear)),
  },
  {
    likelihood: 'continuous-vlb',
    variant: '256 levels',
    method: { kind: 'continuous-vlb', levels: 256 },
    schedule: continuous,
    images: 512,
    exact: (data) => meanOver(continuousBoundOfValue(data, continuous)),
  },
  ...dequantizationKinds.map(
    (dequantization): Case => ({
      likelihood: 'ode',
      variant: `dequantization ${dequantization}`,
      method: { kind: 'ode', dequantization },
      schedule: continuous,
      images: 8,
      exact: (data) => bitsOfDequantised(data, dequantization),
    }),
  ),
]

function casesOf(likelihood: LikelihoodKind): readonly Case[] {
  const known = cases.filter((one) => one.likelihood === likelihood)
  const unknown = { likelihood, variant: '', method: likelihood, schedule: linear, images: 8, exact: bitsAtMiddle }
  return known.length > 0 ? known : [unknown]
}

/**
 * @param kinds which of the list; all when absent.
 * @param options.onProgress told the share of all checks that is done.
 */
export async function checkLikelihoods(
  options: {
    readonly kinds?: readonly LikelihoodKind[] | undefined
    readonly signal?: AbortSignal | undefined
    readonly onProgress?: ((fraction: number) => void) | undefined
  } = {},
): Promise<LikelihoodCheck[]> {
  const kinds = options.kinds ?? (Object.keys(likelihoods) as LikelihoodKind[])
  const runs = kinds.flatMap((kind) => casesOf(kind).flatMap((one) => laws.map((data) => ({ one, data }))))
  const checks: LikelihoodCheck[] = []
  for (const { one, data } of runs) {
    checks.push(await checkOne(one, data, options.signal))
    options.onProgress?.(checks.length / runs.length)
  }
  return checks
}

async function checkOne(
  { likelihood, variant, method, schedule, images: count, exact: exactOf }: Case,
  data: AnalyticData,
  signal: AbortSignal | undefined,
): Promise<LikelihoodCheck> {
  const images = drawImages(data, count)
  const dataSet = new MemoryDataSet({ name: data.name, ...shape, images, labels: null, classes: [] })
  const model = { denoiser: interruptible(analyticDenoiser(data, schedule)), variance } as const
  const { bitsPerDimension: found, each } = await evaluateLikelihood(model, dataSet, { method, seed, signal })
  const exactOfImage = exactOf(data)
  const bitsOfImage = bitsAtMiddle(data)
  let [exact, bitsOfData] = [0, 0]
  const differences = each.map(({ example, bitsPerDimension: ofImage }) => {
    const values = images.subarray(example * elements, (example + 1) * elements)
    const wanted = exactOfImage(values, example)
    exact += wanted / count
    bitsOfData += bitsOfImage(values) / count
    return ofImage - wanted
  })
  const error = Math.abs(found - exact)
  const squares = differences.reduce((sum, one) => sum + (one - (found - exact)) ** 2, 0)
  return {
    likelihood,
    variant,
    data: data.name,
    schedule: schedule.name,
    images: count,
    bitsPerDimension: found,
    exact,
    error,
    standardError: Math.sqrt(squares / (count - 1) / count),
    bitsOfData,
    passes: error <= allowedError,
  }
}

/** The denoiser computes at once; between its answers signals and the progress line have their turn. */
function interruptible(denoiser: PullingDenoiser): PullingDenoiser {
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
  return {
    ...denoiser,
    denoise: (...asked) => turn().then(() => denoiser.denoise(...asked)),
    pull: (...asked) => turn().then(() => denoiser.pull(...asked)),
  }
}

function drawImages(data: AnalyticData, count: number): Uint8Array {
  const images = new Uint8Array(count * elements)
  // As good as any: what is compared is the likelihood of the images that there are.
  const values = quantilesAt(data, linear.clean, 4096)
  for (let n = 0; n < count; n++) {
    for (const [i, share] of uniforms(seed, 'initial', 0, n, elements).entries()) {
      const value = Math.floor(((values[Math.floor(share * values.length)] ?? 0) + 1) * 128)
      images[n * elements + i] = Math.min(255, Math.max(0, value))
    }
  }
  return images
}

function bitsAtMiddle(data: AnalyticData): (values: Uint8Array) => number {
  const { place, binWidth } = dequantizations.none
  return meanOver((value) => bitsPerDimension(-data.logDensity(place(value), linear.clean), 1, binWidth))
}

/** With the draws that fill the bins, which are keyed. */
function bitsOfDequantised(data: AnalyticData, kind: DequantizationKind) {
  const { place, binWidth } = dequantizations[kind]
  return (values: Uint8Array, example: number): number => {
    let nats = 0
    for (const [i, u] of uniforms(seed, 'dequantization', 0, example, elements).entries()) {
      nats -= data.logDensity(place(values[i] ?? 0, u), linear.clean)
    }
    return bitsPerDimension(nats, elements, binWidth)
  }
}

/** The whole bound of one 8-bit value, in bits, with the mean over the noise of every term. */
function boundOfValue(data: AnalyticData, schedule: DiscreteSchedule): (value: number) => number {
  const steps = Array.from({ length: schedule.steps }, (_, time) =>
    variationalStep(schedule, time, variance, logVarianceClip),
  )
  const last = schedule.level(schedule.noisiest)
  const [logVariance, priorLogVariance] = [2 * Math.log(last.sigma), 2 * Math.log(schedule.prior(last))]
  const bound = (value: number): number => {
    const x = value / 127.5 - 1
    let nats = normalDivergence(last.alpha * x, logVariance, 0, priorLogVariance)
    for (const step of steps) {
      nats += meanOverNoise((noise) => {
        const noisy = step.from.alpha * x + step.from.sigma * noise
        const [of, kept] = [step.meanClean, step.meanNoisy * noisy]
        const mean = kept + of * data.clean(noisy, step.from)
        return step.from.time === 0
          ? -discretizedGaussians.erf(x, mean, step.middle / 2)
          : normalDivergence(kept + of * x, step.logVariance, mean, step.middle)
      })
    }
    return nats / Math.LN2
  }
  return bound
}

/**
 * The same in continuous time, where a perfect denoiser leaves of the integral what x tells of z at the cleanest level and not at the
 * noisiest (pointwise I-MMSE: Kong et al. 2023, arXiv 2302.03792, eq. 6): KL(q(z | x) || p(z)) of the one less that of the other.
 */
function continuousBoundOfValue(data: AnalyticData, schedule: Schedule): (value: number) => number {
  const [first, last] = [schedule.level(schedule.cleanest), schedule.level(schedule.noisiest)]
  const priorLogVariance = 2 * Math.log(schedule.prior(last))
  const told = (x: number, { alpha, sigma, time }: Level): number =>
    meanOverNoise((noise) => {
      const logConditional = -(noise ** 2) / 2 - Math.log(sigma * Math.sqrt(2 * Math.PI))
      return logConditional - data.logDensity(alpha * x + sigma * noise, { alpha, sigma, time })
    })
  return (value) => {
    const x = value / 127.5 - 1
    const decoded = meanOverNoise((noise) => {
      const z = first.alpha * x + first.sigma * noise
      let sum = 0
      for (let other = 0; other < 256; other++) {
        const apart = (z - first.alpha * (other / 127.5 - 1)) / first.sigma
        sum += Math.exp((noise ** 2 - apart ** 2) / 2)
      }
      return Math.log(sum)
    })
    const prior = normalDivergence(last.alpha * x, 2 * Math.log(last.sigma), 0, priorLogVariance)
    return (decoded + told(x, first) - told(x, last) + prior) / Math.LN2
  }
}

/** E f(noise), noise ~ N(0, 1), by a sum over even points: of a smooth f, it converges faster than any power of the width. */
function meanOverNoise(f: (noise: number) => number): number {
  const [width, farthest] = [0.3, 8.1]
  let [sum, weights] = [0, 0]
  for (let noise = -farthest; noise <= farthest; noise += width) {
    const weight = Math.exp(-(noise ** 2) / 2)
    sum += weight * f(noise)
    weights += weight
  }
  return sum / weights
}

/** The mean over values of a function of which there are no more than 256 values. */
function meanOver(of: (value: number) => number): (values: Uint8Array) => number {
  const known = new Map<number, number>()
  const ofValue = (value: number): number => {
    const found = known.get(value) ?? of(value)
    known.set(value, found)
    return found
  }
  return (values) => values.reduce((sum, value) => sum + ofValue(value), 0) / values.length
}

function scheduleOf(schedule: unknown): Schedule {
  return createSchedule(parseDiffusion({ schedule, timeLabel: 'quarter-log-ratio' }).schedule)
}
