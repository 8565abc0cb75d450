/** What the parts of the catalog claim of themselves, for the selftest to hold them to. What is not named here is measured all the same. */

import type { SamplerKind } from '../../sampling/samplers.js'
import type { StepGrid } from './sampler-order.js'

export interface SamplerExpectation {
  /** The error falls at least as steps^-order, with the sampler's own defaults. */
  readonly order: number
  /** The steps with which it does; `slow-start` when absent. */
  readonly grid?: StepGrid
  /** The sampler goes from the image up to the noise. */
  readonly inverts?: true
}

export const samplerExpectations: Readonly<Partial<Record<SamplerKind, SamplerExpectation>>> = {
  ddpm: { order: 1 },
  ddim: { order: 1 },
  euler: { order: 1 },
  heun: { order: 2 },
  edm: { order: 2 },
  dpm2: { order: 2 },
  'euler-ancestral': { order: 1 },
  'dpm2-ancestral': { order: 2, grid: 'even-logarithms' },
  lms: { order: 4 },
  pndm: { order: 4, grid: 'even-ratios' },
  ipndm: { order: 4, grid: 'even-ratios' },
  deis: { order: 3 },
  'dpm-solver-2': { order: 2 },
  'dpm-solver-3': { order: 3 },
  'dpm++2s': { order: 2 },
  'dpm++2m': { order: 2 },
  'dpm++3m': { order: 3 },
  'dpm++sde': { order: 2, grid: 'even-logarithms' },
  'dpm++2m-sde': { order: 2, grid: 'even-logarithms' },
  'dpm++3m-sde': { order: 2, grid: 'even-logarithms' },
  unipc: { order: 3 },
  'ddim-inversion': { order: 1, grid: 'even-logarithms', inverts: true },
  'runge-kutta': { order: 4 },
  rk4: { order: 4 },
  'flow-euler': { order: 1 },
  'flow-midpoint': { order: 2 },
  'flow-heun': { order: 2 },
  rk23: { order: 3 },
  rk45: { order: 5 },
  repaint: { order: 1 },
}
