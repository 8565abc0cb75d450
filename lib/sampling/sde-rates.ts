/**
 * The SDE dx = f x dt + g dw whose marginals a schedule's levels are (Song et al. 2021, arXiv 2011.13456, §3.4; Kingma et al. 2021,
 * arXiv 2107.00630, eq. 20–21):
 *
 *     f = d ln alpha / dt,   g² = d sigma² / dt - 2 f sigma²
 *
 * read off neighbouring levels: over a short time d, f ≈ ln a / d and g² ≈ beta / d with a = alpha_t / alpha_{t-d} and
 * beta = sigma_t² - a² sigma_{t-d}², extrapolated to d = 0 (Richardson). A discrete schedule knows no shorter time than 1: there
 * f and g² are those of its own step, ln sqrt(1 - beta_t) and beta_t.
 */
import type { Level, Schedule } from '../diffusion/schedule.js'

export interface SdeRates {
  /** f, per unit of the schedule's time. */
  readonly drift: number
  /** g², per unit of the schedule's time. */
  readonly diffusion: number
}

const halvings = 4

export function sdeRates(schedule: Schedule, level: Level): SdeRates {
  const { time } = level
  if (schedule.steps !== undefined) {
    const before = time >= 1 ? schedule.level(time - 1) : schedule.clean
    return rates(before, level)
  }
  const { cleanest, noisiest } = schedule
  const width = 1e-4 * (noisiest - cleanest)
  const direction = time - width >= cleanest ? -1 : 1
  // Neville's scheme: row k begins with the estimate over width / 2^k, and every entry cancels one more power of the width.
  let row: SdeRates[] = []
  for (let k = 0; k < halvings; k++) {
    const other = schedule.level(time + (direction * width) / 2 ** k)
    const next = [direction < 0 ? rates(other, level) : rates(level, other)]
    row.forEach((coarse, j) => {
      const fine = next[j]
      if (!fine) return
      const gain = 1 / (2 ** (j + 1) - 1)
      next.push({
        drift: fine.drift + gain * (fine.drift - coarse.drift),
        diffusion: fine.diffusion + gain * (fine.diffusion - coarse.diffusion),
      })
    })
    row = next
  }
  return row.at(-1) ?? rates(schedule.clean, level)
}

/** From the less noisy of two levels to the noisier, over the time between them. */
function rates(cleaner: Level, noisier: Level): SdeRates {
  const duration = noisier.time - cleaner.time
  const ratio = noisier.alpha / cleaner.alpha
  const variance = noisier.sigma ** 2 - (ratio * cleaner.sigma) ** 2
  return { drift: Math.log(ratio) / duration, diffusion: variance / duration }
}
