/**
 * Every likelihood of the list on images whose own is known: 3×8×8 images, each element drawn from a Gaussian or from a
 * mixture, and the perfect denoiser. The error is the difference to what the method has for its expectation:
 *
 *     ode   log p of the dequantised values themselves
 *     vlb   the bound with the mean over the noise of every term; its terms are draws, so an error of their size is left
 *
 * A method without a line here is held to log p of the values at the middle of their bins.
 */
import { MemoryDataSet } from '../../datasets/memory-data-set.js'
import { createSchedule, parseDiffusion } from '../../diffusion/diffusion-options.js'
import { bitsPerDimension } from '../../diffusion/likelihood/bits-per-dimension.js'
import { dequantizations } from '../../diffusion/likelihood/dequantization.js'
import { discretizedGaussians } from '../../diffusion/likelihood/discretized-gaussian.js'
import { normalDivergence } from '../../diffusion/likelihood/normal-divergence.js'
import { variationalStep } from '../../diffusion/likelihood/variational-step.js'
import type { DiscreteSchedule, Schedule } from '../../diffusion/schedule.js'
import { uniforms } from '../../random/uniforms.js'
import { type AnalyticData, analyticDenoiser } from '../analytic/analytic-data.js'
import { gaussian } from '../analytic/gaussian.js'
import { gaussianMixture } from '../analytic/gaussian-mixture.js'
import { evaluateLikelihood, type LikelihoodMethodOptions, likelihoods } from '../likelihood.js'

export type LikelihoodKind = keyof typeof likelihoods

export interface LikelihoodCheck {
  readonly likelihood: LikelihoodKind
  readonly data: string
  readonly schedule: string
  readonly bitsPerDimension: number
  /** What the method should find. */
  readonly exact: number
  /** Distance between the two, bits per dimension. */
  readonly error: number
  /** -log2 p of the images: what a bound is above. */
  readonly bitsOfData: number
  readonly passes: boolean
}

/** Bits per dimension that a likelihood may err by. */
export const allowedError = 0.01

const shape = { channels: 3, height: 8, width: 8 } as const
const elements = 192
const imageCount = 8
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
  readonly method: LikelihoodMethodOptions
  readonly schedule: Schedule
  /** -log2 of the likelihood of all the images that the method should find, per dimension. */
  exact(data: AnalyticData, images: Uint8Array): number
}

const linear = scheduleOf({ kind: 'linear', steps: 100, scaleToSteps: true }) as DiscreteSchedule
const variance = 'fixed-large'
const logVarianceClip = 'second-step'

const cases: Partial<Record<LikelihoodKind, Case>> = {
  vlb: {
    method: { kind: 'vlb', clip: false, decoder: 'erf', logVarianceClip },
    schedule: linear,
    exact: (data, images) => meanOver(images, boundOfValue(data, linear)),
  },
  ode: { method: 'ode', schedule: scheduleOf('vp-sde'), exact: bitsOfDequantised },
}

/** @param onProgress told how many checks of all are done. */
export async function checkLikelihoods(
  options: {
    readonly signal?: AbortSignal | undefined
    readonly onProgress?: ((done: number, all: number) => void) | undefined
  } = {},
): Promise<LikelihoodCheck[]> {
  const kinds = Object.keys(likelihoods) as LikelihoodKind[]
  const checks: LikelihoodCheck[] = []
  for (const kind of kinds) {
    for (const data of laws) {
      checks.push(await checkOne(kind, data, options.signal))
      options.onProgress?.(checks.length, kinds.length * laws.length)
    }
  }
  return checks
}

async function checkOne(kind: LikelihoodKind, data: AnalyticData, signal: AbortSignal | undefined) {
  const { method, schedule, exact } = cases[kind] ?? { method: kind, schedule: linear, exact: bitsAtMiddle }
  const images = drawImages(data)
  const dataSet = new MemoryDataSet({ name: data.name, ...shape, images, labels: null, classes: [] })
  const model = { denoiser: analyticDenoiser(data, schedule), variance } as const
  const { bitsPerDimension: found } = await evaluateLikelihood(model, dataSet, { method, seed, signal })
  const wanted = exact(data, images)
  const error = Math.abs(found - wanted)
  return {
    likelihood: kind,
    data: data.name,
    schedule: schedule.name,
    bitsPerDimension: found,
    exact: wanted,
    error,
    bitsOfData: bitsAtMiddle(data, images),
    passes: error <= allowedError,
  }
}

function drawImages(data: AnalyticData): Uint8Array {
  const images = new Uint8Array(imageCount * elements)
  for (let n = 0; n < imageCount; n++) {
    for (const [i, share] of uniforms(seed, 'initial', 0, n, elements).entries()) {
      const value = Math.floor((data.quantile(share, linear.clean) + 1) * 128)
      images[n * elements + i] = Math.min(255, Math.max(0, value))
    }
  }
  return images
}

function bitsAtMiddle(data: AnalyticData, images: Uint8Array): number {
  const { place, binWidth } = dequantizations.none
  return bitsPerDimension(
    meanOver(images, (value) => -data.logDensity(place(value), linear.clean)),
    1,
    binWidth,
  )
}

/** With the draws that fill the bins, which are keyed. */
function bitsOfDequantised(data: AnalyticData, images: Uint8Array): number {
  const { place, binWidth } = dequantizations.uniform
  let nats = 0
  for (let n = 0; n < imageCount; n++) {
    for (const [i, u] of uniforms(seed, 'dequantization', 0, n, elements).entries()) {
      nats -= data.logDensity(place(images[n * elements + i] ?? 0, u), linear.clean)
    }
  }
  return bitsPerDimension(nats, images.length, binWidth)
}

/** The whole bound of one 8-bit value, in bits, with the mean over the noise of every term. */
function boundOfValue(data: AnalyticData, schedule: DiscreteSchedule): (value: number) => number {
  const steps = Array.from({ length: schedule.steps }, (_, time) =>
    variationalStep(schedule, time, variance, logVarianceClip),
  )
  const last = schedule.level(schedule.noisiest)
  const [logVariance, priorLogVariance] = [2 * Math.log(last.sigma), 2 * Math.log(schedule.prior(last))]
  const known = new Map<number, number>()
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
  return (value) => {
    const found = known.get(value) ?? bound(value)
    known.set(value, found)
    return found
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

function meanOver(values: Uint8Array, of: (value: number) => number): number {
  return values.reduce((sum, value) => sum + of(value), 0) / values.length
}

function scheduleOf(schedule: unknown): Schedule {
  return createSchedule(parseDiffusion({ schedule, timeLabel: 'quarter-log-ratio' }).schedule)
}
