/**
 * The slope of the signal-to-noise ratio snr(t) = alpha² / sigma² of a schedule of continuous time,
 *
 *     d snr / dt = 2 alpha (alpha' sigma - alpha sigma') / sigma³
 *
 * With it g² = -sigma² d ln snr / dt is the square of the diffusion of the SDE whose marginals are the schedule's levels (Kingma et
 * al. 2021, arXiv 2107.00630, appendix F).
 */
import { expected } from '../errors.js'
import type { Level, Schedule } from './schedule.js'

/** Width of the stencil's step as a share of the distance to the clean time, near which sigma is a power of it. */
const relativeStep = 1e-3

/**
 * d snr / dt at a level, below 0 where there is signal: what the level says; otherwise alpha' and sigma' are those of the polynomials through five levels, moved
 * inwards at the ends of the schedule: their error is of the order of the fourth power of the step.
 */
export function snrSlope(schedule: Schedule, { alpha, sigma, time, logSnrSlope }: Level): number {
  if (logSnrSlope !== undefined) return logSnrSlope * (alpha / sigma) ** 2
  const { cleanest, noisiest, clean } = schedule
  if (!(time > clean.time)) throw expected(`a time above ${clean.time} (clean)`, 'time', time)
  const step = Math.min(relativeStep * (time - clean.time), (noisiest - cleanest) / 4)
  const low = Math.min(cleanest, time)
  const high = Math.max(noisiest, time)
  const first = Math.min(Math.max(time - 2 * step, low), high - 4 * step)
  const place = (time - first) / step
  let alphaSlope = 0
  let sigmaSlope = 0
  for (let node = 0; node <= 4; node++) {
    const level = schedule.level(Math.min(first + node * step, high))
    const share = basisSlope(node, place) / step
    // Differences, since shares are large and cancel: an alpha near 1 would leave its rounding.
    alphaSlope += share * (level.alpha - alpha)
    sigmaSlope += share * (level.sigma - sigma)
  }
  return (2 * alpha * (alphaSlope * sigma - alpha * sigmaSlope)) / sigma ** 3
}

/** Derivative at `place` of Lagrange's polynomial that is 1 at `node` and 0 at the other whole numbers from 0 to 4. */
function basisSlope(node: number, place: number): number {
  let sum = 0
  for (let left = 0; left <= 4; left++) {
    if (left === node) continue
    let product = 1 / (node - left)
    for (let other = 0; other <= 4; other++) {
      if (other !== node && other !== left) product *= (place - other) / (node - other)
    }
    sum += product
  }
  return sum
}
