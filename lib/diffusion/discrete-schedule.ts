/**
 * A schedule from its betas: x_t = sqrt(1 - beta_t) x_{t-1} + sqrt(beta_t) noise (Ho et al. 2020, eq. 2), hence
 * alpha_t = sqrt(abar_t) and sigma_t = sqrt(1 - abar_t) with abar_t = product of (1 - beta_i) for i ≤ t (eq. 4).
 *
 * The product is taken as a compensated sum of log1p(-beta), and sigma from expm1: near t = 0 abar is so close to 1 that
 * 1 - abar would keep few of its digits.
 */
import { DpmError, expected } from '../errors.js'
import { cleanLevel, type Level, type Schedule } from './schedule.js'

/** @throws DpmError DPM_INVALID_OPTION unless every beta is above 0 and below 1. */
export function scheduleFromBetas(name: string, betas: Float64Array): Schedule {
  const levels: Level[] = []
  let logAlphaBar = 0
  let lost = 0
  betas.forEach((beta, time) => {
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
    levels.push(Object.freeze({ alpha: Math.exp(logAlphaBar / 2), sigma: Math.sqrt(-Math.expm1(logAlphaBar)), time }))
  })
  return {
    name,
    steps: levels.length,
    level(time) {
      const level = time === -1 ? cleanLevel : levels[time]
      if (!level) throw expected(`a whole number from -1 (clean) to ${levels.length - 1}`, 'time', time)
      return level
    },
  }
}
