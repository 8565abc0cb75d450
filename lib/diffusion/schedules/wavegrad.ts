/**
 * WaveGrad: Chen et al. 2020 (arXiv 2009.00713, §3 and algorithm 1). Betas on a straight line make levels l_s = sqrt(abar_s),
 * s = 0 … S with l_0 = 1; between two of them every level is trained, so that any short schedule may be sampled:
 *
 *     alpha(t) = l_s + (t - s) (l_{s+1} - l_s) for s ≤ t ≤ s + 1,   sigma² = 1 - alpha²
 *
 * Time is continuous, from 0 to S: times drawn evenly are the paper's two draws, of s and then of a level between l_{s-1} and
 * l_s. The network is told alpha (time label "alpha"). Its short schedules are the spacing "betas".
 * The ends 1e-6 and 0.01 are those of the public implementations.
 */
import * as z from 'zod'
import { betaOption, evenly } from '../beta-options.js'
import { continuousSchedule } from '../continuous-schedule.js'
import { defineSchedule } from '../define-schedule.js'
import { scheduleFromBetas, variancePreserving } from '../discrete-schedule.js'

const waveGradSchema = z.strictObject({
  kind: z.literal('wavegrad'),
  segments: z.int().min(1).max(1_000_000).default(1000).describe('S, the number of betas, and the noisiest time'),
  betaStart: betaOption.default(1e-6).describe('beta of the first segment'),
  betaEnd: betaOption.default(0.01).describe('beta of the last segment'),
  cleanest: z.number().gt(0).lt(1).default(0.001).describe('least time that is trained or sampled'),
})

export const waveGrad = defineSchedule({
  name: 'wavegrad',
  options: waveGradSchema,
  create({ segments, betaStart, betaEnd, cleanest }) {
    const whole = scheduleFromBetas('wavegrad', evenly(segments, betaStart, betaEnd))
    // 1 - alpha = sigma² / (1 + alpha), which is interpolated instead of alpha: near time 0 alpha has few digits of it.
    const lacks = Float64Array.from({ length: segments + 1 }, (_, s) => {
      const { alpha, sigma } = whole.level(s - 1)
      return (sigma * sigma) / (1 + alpha)
    })
    const lackAt = (s: number): number => lacks[s] ?? 0
    return continuousSchedule({
      name: 'wavegrad',
      cleanest,
      noisiest: segments,
      at(time) {
        const s = Math.min(Math.floor(time), segments - 1)
        const lack = lackAt(s) + (time - s) * (lackAt(s + 1) - lackAt(s))
        return { alpha: 1 - lack, sigma: Math.sqrt(lack * (2 - lack)) }
      },
      timeAtRatio(ratio) {
        const root = Math.hypot(1, ratio)
        const lack = (ratio * ratio) / (root * (1 + root))
        const above = lacks.findIndex((one) => one >= lack)
        if (above < 0) return segments
        return above - 1 + (lack - lackAt(above - 1)) / (lackAt(above) - lackAt(above - 1))
      },
      family: variancePreserving,
    })
  },
})
