/** Our samplers as schedulers of diffusers: the classes that may be each, and what they say of it. */
import type { SamplerSettings } from '../../sampling/samplers.js'
import type { schedulers } from './schedulers.js'

type Json = Readonly<Record<string, unknown>>
export type SchedulerName = keyof typeof schedulers
type SamplerKind = SamplerSettings['kind']
type SamplerOf<Kind extends SamplerKind> = Extract<SamplerSettings, { kind: Kind }>

interface Ends {
  readonly lowerOrderFinal: boolean
  readonly eulerAtFinal: boolean
}

/** How the multistep solvers end. */
function endKeys({ lowerOrderFinal, eulerAtFinal }: Ends): Json {
  return { lower_order_final: lowerOrderFinal, euler_at_final: eulerAtFinal }
}

/** By a sampler's kind: the classes that may be it, and what they say of it. */
export const samplerWriters: {
  readonly [Kind in SamplerKind]?: {
    readonly classes: readonly SchedulerName[]
    keys(sampler: SamplerOf<Kind>): Json
  }
} = {
  ddpm: { classes: ['DDPMScheduler'], keys: () => ({}) },
  ddim: {
    classes: ['DDIMScheduler', 'DPMSolverMultistepScheduler'],
    keys: ({ eta }) => ({ solver_order: 1, algorithm_type: eta === 1 ? 'sde-dpmsolver++' : 'dpmsolver++' }),
  },
  pndm: { classes: ['PNDMScheduler'], keys: ({ start }) => ({ skip_prk_steps: start === 'heun' }) },
  'dpm++2m': {
    classes: ['DPMSolverMultistepScheduler'],
    keys: ({ solver, ...ends }) => ({ solver_order: 2, solver_type: solver, ...endKeys(ends) }),
  },
  'dpm++2m-sde': {
    classes: ['DPMSolverMultistepScheduler'],
    keys: ({ solver, ...ends }) => ({
      solver_order: 2,
      solver_type: solver,
      algorithm_type: 'sde-dpmsolver++',
      ...endKeys(ends),
    }),
  },
  'dpm++3m': {
    classes: ['DPMSolverMultistepScheduler'],
    keys: ({ solver, ...ends }) => ({ solver_order: 3, solver_type: solver, ...endKeys(ends) }),
  },
  'dpm++3m-sde': {
    classes: ['DPMSolverMultistepScheduler'],
    keys: ({ solver, ...ends }) => ({
      solver_order: 3,
      solver_type: solver,
      algorithm_type: 'sde-dpmsolver++',
      ...endKeys(ends),
    }),
  },
  'dpm-solver-2m': {
    classes: ['DPMSolverMultistepScheduler'],
    keys: ({ solver, ...ends }) => ({
      solver_order: 2,
      solver_type: solver,
      algorithm_type: 'dpmsolver',
      ...endKeys(ends),
    }),
  },
  'dpm-solver-3m': {
    classes: ['DPMSolverMultistepScheduler'],
    keys: ({ solver, ...ends }) => ({
      solver_order: 3,
      solver_type: solver,
      algorithm_type: 'dpmsolver',
      ...endKeys(ends),
    }),
  },
  'dpm-solver-2m-sde': {
    classes: ['DPMSolverMultistepScheduler'],
    keys: ({ order, solver, ...ends }) => ({
      solver_order: order,
      solver_type: solver,
      algorithm_type: 'sde-dpmsolver',
      ...endKeys(ends),
    }),
  },
  'dpm-singlestep': {
    classes: ['DPMSolverSinglestepScheduler'],
    keys: ({ order, form, solver, eta, lowerOrderFinal }) => ({
      solver_order: order,
      solver_type: solver,
      algorithm_type: form === 'noise' ? 'dpmsolver' : eta === 0 ? 'dpmsolver++' : 'sde-dpmsolver++',
      lower_order_final: lowerOrderFinal,
    }),
  },
  unipc: {
    classes: ['UniPCMultistepScheduler'],
    keys: ({ order, variant, form, uncorrected, lowerOrderFinal }) => ({
      solver_order: order,
      solver_type: variant,
      predict_x0: form === 'clean',
      disable_corrector: uncorrected,
      lower_order_final: lowerOrderFinal,
    }),
  },
  deis: {
    classes: ['DEISMultistepScheduler'],
    keys: ({ order, lowerOrderFinal }) => ({ solver_order: order, lower_order_final: lowerOrderFinal }),
  },
  euler: { classes: ['EulerDiscreteScheduler'], keys: () => ({}) },
  'euler-ancestral': { classes: ['EulerAncestralDiscreteScheduler'], keys: () => ({}) },
  heun: { classes: ['HeunDiscreteScheduler'], keys: () => ({}) },
  dpm2: { classes: ['KDPM2DiscreteScheduler'], keys: () => ({}) },
  'dpm2-ancestral': { classes: ['KDPM2AncestralDiscreteScheduler'], keys: () => ({}) },
  lms: { classes: ['LMSDiscreteScheduler'], keys: () => ({}) },
}
