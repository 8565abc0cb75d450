/** The number by which the network is told the time; it must be the same in training and in sampling. */
import { DpmError } from '../errors.js'
import { type Level, ratioOf, requireDiscrete, requireSignal, type Schedule } from './schedule.js'

/** The label of a level. */
export type Labeller = (level: Level) => number

export const timeLabels = {
  /** t = 0 … T-1 (Ho et al. 2020, arXiv 2006.11239). */
  step: (schedule) => {
    requireDiscrete(schedule, 'The time label "step"')
    return ({ time }) => time
  },
  /** T - 1 - t: 0 … T-1 counted from the most noise, as NCSN and score-SDE's VE SDE in discrete time do (their code). */
  'steps-left': (schedule) => {
    const { steps } = requireDiscrete(schedule, 'The time label "steps-left"')
    return ({ time }) => steps - 1 - time
  },
  /**
   * 1000 t / T, so that networks of different T share a scale (Nichol and Dhariwal 2021, arXiv 2102.09672, the code's rescaled
   * times); 1000 t where time is continuous.
   */
  thousandths: ({ steps = 1 }) => {
    return ({ time }) => (1000 * time) / steps
  },
  /** 999 t where time is continuous (Song et al. 2021, arXiv 2011.13456, their code); otherwise 0 … 999 over the steps. */
  'zero-to-999': ({ steps = 2 }) => {
    return ({ time }) => (999 * time) / Math.max(1, steps - 1)
  },
  /** (t + 1) / T in (0, 1], as the course of the sprites data has it; t itself where time is continuous (flow matching). */
  fraction: ({ steps }) => {
    return steps === undefined ? ({ time }) => time : ({ time }) => (time + 1) / steps
  },
  /** alpha, in (0, 1]: the continuous noise level sqrt(abar) of WaveGrad (Chen et al. 2020, arXiv 2009.00713, §3). */
  alpha:
    () =>
    ({ alpha }) =>
      alpha,
  /** sigma / alpha; sigma itself where alpha is 1. */
  ratio: (schedule) => {
    requireSignal(schedule, 'The time label "ratio"', anotherLabel)
    return ratioOf
  },
  /** ln sigma, for random Fourier features (NCSN++ on the VE SDE: Song et al. 2021, arXiv 2011.13456, appendix H). */
  'log-sigma': () => {
    return ({ sigma }) => Math.log(sigma)
  },
  /** ln(sigma / 2): the same of networks that are told the noise of images in [0, 1], where ours are in [-1, 1]. */
  'log-half-sigma': () => {
    return ({ sigma }) => Math.log(sigma / 2)
  },
  /** ln(sigma / alpha) / 4 (EDM: Karras et al. 2022, arXiv 2206.00364, table 1). */
  'quarter-log-ratio': (schedule) => {
    requireSignal(schedule, 'The time label "quarter-log-ratio"', anotherLabel)
    return (level) => Math.log(ratioOf(level)) / 4
  },
  /**
   * -ln snr, shifted and scaled to 0 at the cleanest and 1000 at the noisiest time (Kingma et al. 2021, arXiv 2107.00630, their
   * code: gamma as it is embedded). Of a learned schedule the ends are those it began with.
   */
  'log-snr': (schedule) => {
    requireSignal(schedule, 'The time label "log-snr"', anotherLabel)
    const [low, high] = [schedule.cleanest, schedule.noisiest].map((time) => Math.log(ratioOf(schedule.level(time))))
    if (low === undefined || high === undefined || !(low < high)) {
      throw new DpmError(
        'DPM_INVALID_OPTION',
        `The time label "log-snr" needs a schedule of more than one level, unlike \`${schedule.name}\` with one step. Use more steps.`,
      )
    }
    return (level) => (1000 * (Math.log(ratioOf(level)) - low)) / (high - low)
  },
} as const satisfies Record<string, (schedule: Schedule) => Labeller>

const anotherLabel = 'Choose the time label "thousandths" or "fraction", or a schedule that keeps some signal.'

export type TimeLabel = keyof typeof timeLabels

/** Labels that are functions of the time, not of the level there. */
export const timeLabelsOfTime: readonly TimeLabel[] = ['step', 'steps-left', 'thousandths', 'zero-to-999', 'fraction']

/** @throws DpmError DPM_INVALID_OPTION when the label does not fit the schedule. */
export function createLabeller(label: TimeLabel, schedule: Schedule): Labeller {
  return timeLabels[label](schedule)
}
