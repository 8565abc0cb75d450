/**
 * Schedules of discrete times 0 … T-1: from a list of levels, or from betas,
 * x_t = sqrt(1 - beta_t) x_{t-1} + sqrt(beta_t) noise (Ho et al. 2020, eq. 2), hence alpha_t = sqrt(abar_t) and
 * sigma_t = sqrt(1 - abar_t) with abar_t = product of (1 - beta_i) for i ≤ t (eq. 4).
 */
import { DpmError, expected } from '../errors.js'
import { cleanLevel, type DiscreteSchedule, type Level, ratioOf } from './schedule.js'
import { withoutTerminalSignal } from './zero-terminal-snr.js'

/** How a family of schedules ties alpha and sigma together: alpha and sigma from their ratio, and where sampling starts. */
export interface Family {
  fromRatio(ratio: number): { readonly alpha: number; readonly sigma: number }
  prior(level: Level): number
}

/** alpha² + sigma² = 1: DDPM, VP-SDE. */
export const variancePreserving: Family = {
  fromRatio(ratio) {
    const alpha = 1 / Math.sqrt(1 + ratio * ratio)
    return { alpha, sigma: ratio * alpha }
  },
  prior: () => 1,
}

/** alpha = 1: NCSN, VE-SDE, EDM. */
export const varianceExploding: Family = {
  fromRatio: (ratio) => ({ alpha: 1, sigma: ratio }),
  prior: ({ sigma }) => sigma,
}

/** alpha + sigma = 1: flow matching on straight paths. */
export const straight: Family = {
  fromRatio: (ratio) => ({ alpha: 1 / (1 + ratio), sigma: ratio / (1 + ratio) }),
  prior: () => 1,
}

/**
 * @param levels alpha and sigma of the times 0 … T-1, sigma / alpha growing
 * @throws DpmError DPM_INVALID_OPTION when noise does not grow from each time to the next.
 */
export function scheduleFromLevels(
  name: string,
  pairs: readonly { readonly alpha: number; readonly sigma: number }[],
  family: Family,
): DiscreteSchedule {
  const levels = pairs.map(({ alpha, sigma }, time): Level => Object.freeze({ alpha, sigma, time }))
  const ratios = levels.map(ratioOf)
  ratios.forEach((ratio, time) => {
    if (!(ratio > (ratios[time - 1] ?? 0))) {
      throw new DpmError(
        'DPM_INVALID_OPTION',
        `Expected noise that grows with time for schedule \`${name}\` but sigma / alpha is ${ratios[time - 1] ?? 0} at time ${time - 1} and ${ratio} at time ${time}. Use fewer steps or a wider range.`,
      )
    }
  })
  const last = levels.length - 1
  const between = (time: number): Level => {
    const below = Math.floor(time)
    const [low, high] = [ratios[below] ?? 0, ratios[below + 1] ?? 0]
    if (!Number.isFinite(high)) {
      throw expected('a time below the last one, at which no signal is left,', 'time', time, 'Use whole times.')
    }
    return Object.freeze({ ...family.fromRatio(low * (high / low) ** (time - below)), time })
  }
  return {
    name,
    steps: levels.length,
    cleanest: 0,
    noisiest: last,
    clean: cleanLevel,
    level(time) {
      const level = time === -1 ? cleanLevel : levels[time]
      if (level) return level
      if (time > 0 && time < last) return between(time)
      throw expected(`a time from 0 to ${last}, or -1 (clean)`, 'time', time)
    },
    atRatio(ratio) {
      if (!(ratio > 0 && Number.isFinite(ratio))) throw expected('a finite number above 0', 'sigma / alpha', ratio)
      const above = ratios.findIndex((one) => one >= ratio)
      const [low, high] = [ratios[above - 1] ?? 0, ratios[above] ?? 0]
      const part = above > 0 && Number.isFinite(high) ? Math.log(ratio / low) / Math.log(high / low) : 1
      const time = above < 0 ? last : above === 0 ? 0 : above - 1 + part
      return Object.freeze({ ...family.fromRatio(ratio), time })
    },
    prior: family.prior,
  }
}

/**
 * The product is taken as a compensated sum of log1p(-beta), and sigma from expm1: near t = 0 abar is so close to 1 that
 * 1 - abar would keep few of its digits.
 * @throws DpmError DPM_INVALID_OPTION unless every beta is above 0 and below 1.
 */
export function scheduleFromBetas(
  name: string,
  betas: Float64Array,
  { zeroTerminalSnr = false }: { readonly zeroTerminalSnr?: boolean } = {},
): DiscreteSchedule {
  let logAlphaBar = 0
  let lost = 0
  const logAlphaBars = Array.from(betas, (beta, time) => {
    if (!(beta > 0 && beta < 1)) {
      throw new DpmError(
        'DPM_INVALID_OPTION',
        `Expected betas above 0 and below 1 for schedule \`${name}\` but beta at time ${time} is ${Number(beta.toPrecision(6))}. Use smaller betas or more steps.`,
      )
    }
    const term = Math.log1p(-beta) - lost
    const sum = logAlphaBar + term
    lost = sum - logAlphaBar - term
    logAlphaBar = sum
    return sum
  })
  const levels = zeroTerminalSnr
    ? withoutTerminalSignal(name, logAlphaBars)
    : logAlphaBars.map((log) => ({ alpha: Math.exp(log / 2), sigma: Math.sqrt(-Math.expm1(log)) }))
  return scheduleFromLevels(name, levels, variancePreserving)
}
