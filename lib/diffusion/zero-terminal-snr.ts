/**
 * Lin et al. 2023 (arXiv 2305.08891, algorithm 1): sqrt(abar) is shifted and stretched so that no signal is left at the last
 * time while the first time keeps what it has,
 *
 *     alpha'_t = (alpha_t - alpha_{T-1}) alpha_0 / (alpha_0 - alpha_{T-1})
 *
 * Then noise predicted at the last time says nothing about the image: predict velocity or the clean image.
 */
import * as z from 'zod'
import { expected } from '../errors.js'

export const zeroTerminalSnrOption = z
  .boolean()
  .default(false)
  .describe('rescale so that no signal is left at the last time (Lin et al. 2023)')

/**
 * alpha and sigma of the rescaled levels. Computed in 1 - alpha, of which the first times need every digit:
 * 1 - alpha'_t = u_0 + alpha_0 (u_t - u_0) / (alpha_0 - alpha_{T-1}) with u = 1 - alpha.
 * @param logAlphaBars ln abar_t of the times 0 … T-1
 * @throws DpmError DPM_INVALID_OPTION for a schedule of one step, whose only time would be both the first and the last.
 */
export function withoutTerminalSignal(
  name: string,
  logAlphaBars: readonly number[],
): { readonly alpha: number; readonly sigma: number }[] {
  const lacks = logAlphaBars.map((log) => -Math.expm1(log / 2))
  const [first, last] = [lacks[0] ?? 0, lacks.at(-1) ?? 0]
  if (!(last > first)) {
    throw expected(
      `at least 2 steps for schedule "${name}" with zeroTerminalSnr`,
      'steps',
      lacks.length,
      '',
      'DPM_INVALID_OPTION',
    )
  }
  const stretch = (1 - first) / (last - first)
  return lacks.map((lack, time) => {
    if (time === lacks.length - 1) return { alpha: 0, sigma: 1 }
    const rescaled = first + stretch * (lack - first)
    return { alpha: 1 - rescaled, sigma: Math.sqrt(rescaled * (2 - rescaled)) }
  })
}
