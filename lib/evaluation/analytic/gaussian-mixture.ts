/**
 * A mixture of weight_k N(mean_k, deviation_k²) in every element. At a level mode k is N(alpha mean_k, V_k),
 * V_k = alpha² deviation_k² + sigma², and with w_k(x) the share of mode k among those that x may come from,
 *
 *     clean = sum of w_k c_k,  c_k = mean_k + g_k (x - alpha mean_k),  g_k = alpha deviation_k² / V_k
 *     score = sum of w_k s_k,  s_k = -(x - alpha mean_k) / V_k
 *     d clean / d x = sum of w_k g_k + sum of w_k (c_k - clean) (s_k - score)
 *
 * The denoiser bends between the modes, as a network's does. Weights add up to 1.
 */
import { erf } from '../../diffusion/likelihood/normal-interval.js'
import type { Level } from '../../diffusion/schedule.js'
import type { AnalyticData, Moments } from './analytic-data.js'

export interface Mode extends Moments {
  readonly weight: number
}

export function gaussianMixture(modes: readonly Mode[]): AnalyticData {
  // A whole batch asks about one level.
  let latest: { readonly level: Level; readonly modes: readonly ModeAt[] } | undefined
  const at = (level: Level): readonly ModeAt[] => {
    if (latest?.level !== level) latest = { level, modes: modes.map((mode) => modeAt(mode, level)) }
    return latest.modes
  }
  const quantile: AnalyticData['quantile'] = (share, level, near) => quantileOf(share, at(level), near)
  return {
    name: 'mixture',
    moments(level) {
      const all = at(level)
      const mean = sum(all, (mode) => mode.weight * mode.center)
      const variance = sum(all, (mode) => mode.weight * (mode.variance + (mode.center - mean) ** 2))
      return { mean, deviation: Math.sqrt(variance) }
    },
    clean: (x, level) => conditional(x, at(level)).clean,
    cleanSlope: (x, level) => conditional(x, at(level)).slope,
    score: (x, level) => conditional(x, at(level)).score,
    logDensity: (x, level) => conditional(x, at(level)).logDensity,
    quantile,
    flow: (x, from, to) => quantile(shareBelow(x, at(from)), to),
  }
}

interface ModeAt {
  readonly weight: number
  /** alpha · mean, and the mean itself. */
  readonly center: number
  readonly mean: number
  readonly variance: number
  readonly gain: number
}

function modeAt({ weight, mean, deviation }: Mode, { alpha, sigma }: Level): ModeAt {
  const variance = (alpha * deviation) ** 2 + sigma ** 2
  return { weight, center: alpha * mean, mean, variance, gain: (alpha * deviation ** 2) / variance }
}

/** What x says of the mode that it comes from, of the clean image, and how likely it is. */
function conditional(x: number, modes: readonly ModeAt[]) {
  // Relative to the likeliest mode: far out all of them would be 0.
  let largest = Number.NEGATIVE_INFINITY
  for (const mode of modes) largest = Math.max(largest, exponentOf(x, mode))
  let [total, clean, score, gain, product] = [0, 0, 0, 0, 0]
  for (const mode of modes) {
    const likelihood = Math.exp(exponentOf(x, mode) - largest)
    const distance = x - mode.center
    const [cleanOf, scoreOf] = [mode.mean + mode.gain * distance, -distance / mode.variance]
    total += likelihood
    clean += likelihood * cleanOf
    score += likelihood * scoreOf
    gain += likelihood * mode.gain
    product += likelihood * cleanOf * scoreOf
  }
  clean /= total
  score /= total
  const logDensity = largest + Math.log(total) - Math.log(2 * Math.PI) / 2
  return { clean, score, logDensity, slope: (gain + product) / total - clean * score }
}

function exponentOf(x: number, { weight, center, variance }: ModeAt): number {
  return Math.log(weight / Math.sqrt(variance)) - (x - center) ** 2 / (2 * variance)
}

function shareBelow(x: number, modes: readonly ModeAt[]): number {
  return sum(modes, ({ weight, center, variance }) => (weight * (1 + erf((x - center) / Math.sqrt(2 * variance)))) / 2)
}

/** Newton's steps towards shareBelow(x) = share, and halves of what is left where they would leave it. */
function quantileOf(share: number, modes: readonly ModeAt[], near?: number): number {
  let low = Math.min(...modes.map(({ center, variance }) => center - 9 * Math.sqrt(variance)))
  let high = Math.max(...modes.map(({ center, variance }) => center + 9 * Math.sqrt(variance)))
  let x = near !== undefined && near > low && near < high ? near : (low + high) / 2
  for (let round = 0; round < 200; round++) {
    const error = shareBelow(x, modes) - share
    if (error > 0) high = x
    else low = x
    const density = Math.exp(conditional(x, modes).logDensity)
    const newton = x - error / density
    const next = newton > low && newton < high ? newton : (low + high) / 2
    if (Math.abs(next - x) <= 1e-15 * (high - low + Math.abs(x))) return next
    x = next
  }
  return x
}

function sum<Item>(items: readonly Item[], of: (item: Item) => number): number {
  return items.reduce((total, item) => total + of(item), 0)
}
