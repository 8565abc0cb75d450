/** The range of noise of schedules that are given by their least and their most noise. */
import { expected } from '../errors.js'

/** @throws DpmError DPM_INVALID_OPTION unless sigmaMin is below sigmaMax. */
export function requireSigmaRange(name: string, sigmaMin: number, sigmaMax: number): void {
  if (sigmaMin < sigmaMax) return
  throw expected(
    `sigmaMin below sigmaMax for schedule "${name}", so a number below ${sigmaMax},`,
    'sigmaMin',
    sigmaMin,
    '',
    'DPM_INVALID_OPTION',
  )
}
