/**
 * What the samplers of the catalog claim of themselves, for the selftest to hold them to. One that is not named here is
 * measured with its defaults all the same, and held to nothing but finding the only image of its data.
 */
import { type Level, ratioOf } from '../../diffusion/schedule.js'
import type { SamplerKind } from '../../sampling/samplers.js'
import type { ChangedOptions, ProcessName } from './recordings.js'
import type { StepGrid } from './sampler-order.js'

export interface SamplerExpectation {
  /** The error falls at least as steps^-order. */
  readonly order: number
  /** The steps with which it does; `slow-start` when absent. */
  readonly grid?: StepGrid
  /** The process on which it does; when absent the first that the sampler takes. */
  readonly process?: ProcessName
  /** What is measured where that is not the defaults, from the levels of the run, the clean one last. */
  readonly options?: (levels: readonly Level[]) => ChangedOptions
  /** The sampler goes from the image up to the noise. */
  readonly inverts?: true
}

export const samplerExpectations: Readonly<Partial<Record<SamplerKind, SamplerExpectation>>> = {
  ddpm: { order: 1, grid: 'even-logarithms' },
  ddim: { order: 1 },
  euler: { order: 1 },
  heun: { order: 2 },
  edm: { order: 2 },
  dpm2: { order: 2 },
  'euler-ancestral': { order: 1, grid: 'even-logarithms' },
  'dpm2-ancestral': { order: 2, grid: 'even-logarithms' },
  lms: { order: 4 },
  // Weights for even steps of time, which on EDM's process is sigma / alpha.
  pndm: { order: 4, grid: 'even-ratios', process: 'edm' },
  ipndm: { order: 4, grid: 'even-ratios' },
  deis: { order: 3 },
  'dpm-solver-2': { order: 2 },
  'dpm-solver-3': { order: 3 },
  'dpm-solver-2m': { order: 2 },
  'dpm-solver-3m': { order: 3 },
  'dpm-solver-2m-sde': { order: 2, grid: 'even-logarithms' },
  // Of groups of two steps.
  'dpm-singlestep': { order: 2 },
  'dpm++2s': { order: 2 },
  'dpm++2s-ancestral': { order: 2, grid: 'even-logarithms' },
  'dpm++2m': { order: 2 },
  'dpm++3m': { order: 3 },
  // Noise is that of single steps, so the variance errs by the square of the step whatever the order of the drift.
  'dpm++sde': { order: 2, grid: 'even-logarithms' },
  'dpm++2m-sde': { order: 2, grid: 'even-logarithms' },
  'dpm++3m-sde': { order: 2, grid: 'even-logarithms' },
  // Of the second order by itself; its corrector adds one.
  unipc: { order: 3 },
  'ddim-inversion': { order: 1, grid: 'to-the-image', inverts: true },
  // Moves half as long, twice as many of them at each of twice as many levels.
  'annealed-langevin': { order: 1, grid: 'even-logarithms', options: langevinMoves },
  // Corrections whose variance, snr², falls with the step of the predictor.
  'predictor-corrector': {
    order: 1,
    grid: 'even-logarithms',
    options: ({ length }) => ({ snr: 0.16 * Math.min(1, Math.sqrt(40 / length)) }),
  },
  'runge-kutta': { order: 4 },
  rk4: { order: 4 },
  'flow-euler': { order: 1 },
  'flow-midpoint': { order: 2 },
  'flow-heun': { order: 2 },
  rk23: { order: 3 },
  rk45: { order: 5 },
  // Everything is to be drawn, with jumps so short and few that they happen in a short run.
  repaint: { order: 1, grid: 'even-logarithms', options: () => ({ jumpLength: 2, jumps: 3 }) },
}

/** The share of the score that a move takes, times the moves at a level, is 1; more than half of it makes x run wild. */
function langevinMoves(levels: readonly Level[]): ChangedOptions {
  const stepsPerLevel = Math.ceil((levels.length - 1) / 4)
  const least = levels.at(-2)
  return { stepSize: Math.min(1 / stepsPerLevel, 0.5) * (least ? ratioOf(least) : 1) ** 2, stepsPerLevel }
}
