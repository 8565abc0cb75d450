/** Every sampler, by kind. A new one is a file beside this one and a line here. */
import * as z from 'zod'
import { DpmError } from '../errors.js'
import { nameOrOptions, schemasOf } from '../options/kind-schema.js'
import { parseOptions } from '../options/options.js'
import { annealedLangevin } from './annealed-langevin.js'
import { ddim } from './ddim.js'
import { ddimInversion } from './ddim-inversion.js'
import { ddpm } from './ddpm.js'
import type { SamplerDefinition } from './define-sampler.js'
import { deis } from './deis.js'
import { dpmPlusPlus2m } from './dpm-plus-plus-2m.js'
import { dpmPlusPlus2mSde } from './dpm-plus-plus-2m-sde.js'
import { dpmPlusPlus2s } from './dpm-plus-plus-2s.js'
import { dpmPlusPlus2sAncestral } from './dpm-plus-plus-2s-ancestral.js'
import { dpmPlusPlus3m } from './dpm-plus-plus-3m.js'
import { dpmPlusPlus3mSde } from './dpm-plus-plus-3m-sde.js'
import { dpmPlusPlusSde } from './dpm-plus-plus-sde.js'
import { dpmSinglestep } from './dpm-singlestep.js'
import { dpmSolver2 } from './dpm-solver-2.js'
import { dpmSolver2m } from './dpm-solver-2m.js'
import { dpmSolver2mSde } from './dpm-solver-2m-sde.js'
import { dpmSolver3 } from './dpm-solver-3.js'
import { dpmSolver3m } from './dpm-solver-3m.js'
import { dpm2 } from './dpm2.js'
import { dpm2Ancestral } from './dpm2-ancestral.js'
import { edm } from './edm.js'
import { euler } from './euler.js'
import { eulerAncestral } from './euler-ancestral.js'
import { flowEuler } from './flow-euler.js'
import { flowHeun } from './flow-heun.js'
import { flowMidpoint } from './flow-midpoint.js'
import { heun } from './heun.js'
import { ipndm } from './ipndm.js'
import { lms } from './lms.js'
import { pndm } from './pndm.js'
import { predictorCorrector } from './predictor-corrector.js'
import type { Program } from './program.js'
import { type RecordContext, record } from './recorder.js'
import { repaint } from './repaint.js'
import { rk4 } from './rk4.js'
import { rk23 } from './rk23.js'
import { rk45 } from './rk45.js'
import { rungeKutta } from './runge-kutta.js'
import { unipc } from './unipc.js'

export const samplers = {
  ddpm,
  ddim,
  euler,
  heun,
  edm,
  dpm2,
  'euler-ancestral': eulerAncestral,
  'dpm2-ancestral': dpm2Ancestral,
  lms,
  pndm,
  ipndm,
  deis,
  'dpm-solver-2': dpmSolver2,
  'dpm-solver-3': dpmSolver3,
  'dpm-solver-2m': dpmSolver2m,
  'dpm-solver-3m': dpmSolver3m,
  'dpm-solver-2m-sde': dpmSolver2mSde,
  'dpm-singlestep': dpmSinglestep,
  'dpm++2s': dpmPlusPlus2s,
  'dpm++2s-ancestral': dpmPlusPlus2sAncestral,
  'dpm++2m': dpmPlusPlus2m,
  'dpm++3m': dpmPlusPlus3m,
  'dpm++sde': dpmPlusPlusSde,
  'dpm++2m-sde': dpmPlusPlus2mSde,
  'dpm++3m-sde': dpmPlusPlus3mSde,
  unipc,
  'ddim-inversion': ddimInversion,
  'annealed-langevin': annealedLangevin,
  'predictor-corrector': predictorCorrector,
  'runge-kutta': rungeKutta,
  rk4,
  'flow-euler': flowEuler,
  'flow-midpoint': flowMidpoint,
  'flow-heun': flowHeun,
  rk23,
  rk45,
  repaint,
} satisfies Record<string, SamplerDefinition>
export type SamplerKind = keyof typeof samplers

export const samplerSchema = nameOrOptions(z.discriminatedUnion('kind', schemasOf(samplers)))
export type SamplerOptions = z.input<typeof samplerSchema>
export type SamplerSettings = z.output<typeof samplerSchema>

/**
 * Complete settings of a sampler from its kind, or from its options.
 * @throws DpmError DPM_INVALID_OPTION naming value, place and choices.
 */
export function parseSampler(sampler: SamplerOptions, place = 'sampler'): SamplerSettings {
  return parseOptions(samplerSchema, sampler, place)
}

export function samplerDefinition({ kind }: SamplerSettings): SamplerDefinition {
  return samplers[kind]
}

/**
 * The program of a run with a sampler of the list.
 * @throws DpmError DPM_INVALID_OPTION for an adaptive sampler, which has none.
 */
export function recordSampler(settings: SamplerSettings, context: RecordContext): Program {
  const definition = samplerDefinition(settings)
  if (!definition.adaptive) return record(definition, settings, context)
  throw new DpmError(
    'DPM_INVALID_OPTION',
    `Sampler \`${settings.kind}\` decides on its steps while it runs, so it has no program. Run it, or choose another sampler.`,
  )
}
