/**
 * A process whose forward step is learned too. With F(x_0, t) = x_0 + gate_t f(x_0, t), where f is a network,
 *
 *     q(x_t | x_0)           = N(alpha_t F(x_0, t), sigma_t²)
 *     q(x_s | x_t, x_0)      = N(r sigma_s² / sigma_t² x_t + alpha_s beta_{t|s} / sigma_t² y, variance), the posterior of Ho et al.
 *                              2020 with y = F_t + gain (F_s - F_t) in the place of x_0, gain = sigma_t² / beta_{t|s}
 *
 * which has q(x_s | x_0) for its marginal whatever F does (Nielsen et al. 2023, arXiv 2310.19789, DiffEnc, eq. 10 and appendix
 * D). The model's steps are DDPM's: N(r sigma_s² / sigma_t² x_t + alpha_s beta_{t|s} / sigma_t² clean, variance). So a term of the
 * bound is the usual one with y for x_0, and its gradient teaches f and the denoiser alike. Drawing knows nothing of F.
 *
 * gate_t = 4 alpha_t² sigma_t² / (alpha_t² + sigma_t²)² is 0 where there is only image or only noise: the decoder's term, and but
 * for alpha_T² the prior's, stay DDPM's, and no image can be smuggled past the bound at the noisy end. Of s = -1, the clean
 * image, F is x_0 itself.
 */
import { posterior } from './posterior.js'
import type { Prediction } from './prediction.js'
import { type Level, requireDiscrete, type Schedule } from './schedule.js'
import type { Labeller } from './time-label.js'

/** How far F may move the clean image at a level, 0 … 1. */
export function gateAt({ alpha, sigma }: Level): number {
  const [signal, noise] = [alpha * alpha, sigma * sigma]
  return (4 * signal * noise) / (signal + noise) ** 2
}

/** sigma_t² / beta_{t|s}, the factor of F_s - F_t in y. */
export function gainOf(from: Level, to: Level): number {
  return (from.sigma * from.sigma) / posterior(from, to).forwardVariance
}

/** The label at which f is asked; where its gate is shut, one that every label has: a clean image may have none. */
export function forwardLabel(
  { schedule, label }: { readonly schedule: Schedule; readonly label: Labeller },
  level: Level,
): number {
  return label(gateAt(level) === 0 ? schedule.level(schedule.cleanest) : level)
}

/** What native code needs of an example beside its row. */
export const forwardStepFields = ['labelBefore', 'gate', 'gateBefore', 'gain'] as const

/**
 * N × `forwardStepFields`: the label of the time before, the gates of both, and the gain in units of the network's output, which is
 * trained towards targetClean F_t + targetNoise noise + gain (F_s - F_t).
 */
export function forwardStepNumbers(
  parts: { readonly schedule: Schedule; readonly prediction: Prediction; readonly label: Labeller },
  times: ArrayLike<number>,
): Float64Array<ArrayBuffer> {
  const schedule = requireDiscrete(parts.schedule, 'A learned forward step')
  const numbers = new Float64Array(times.length * forwardStepFields.length)
  for (let n = 0; n < times.length; n++) {
    const time = times[n] ?? 0
    const [from, to] = [schedule.level(time), schedule.level(time - 1)]
    const { cOut } = parts.prediction.numbers(from)
    numbers.set(
      [forwardLabel(parts, to), gateAt(from), gateAt(to), gainOf(from, to) / cOut],
      n * forwardStepFields.length,
    )
  }
  return numbers
}
