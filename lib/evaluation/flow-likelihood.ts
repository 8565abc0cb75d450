/**
 * The likelihood by the probability-flow ODE of Song et al. 2021 (arXiv 2011.13456, §4.3 and appendix D.2) on images:
 * dequantised, and with several draws of each image the importance-weighted bound
 *
 *     log P(k) ≥ E log of the mean over draws of p(x(k, u)) binWidth^D     (Burda et al. 2015; Hoogeboom et al. 2020)
 *
 * With probes instead of the exact trace each log p is only unbiased itself: its noise then passes through the mean of
 * exponentials and makes several draws look a little better than they are.
 *
 * Vectors are taken as they are: the density of a column in its own units is that of what the network sees over the column's
 * deviation.
 */
import * as z from 'zod'
import type { Columns } from '../datasets/data-set.js'
import { bitsPerDimension, logMeanExp } from '../diffusion/likelihood/bits-per-dimension.js'
import { dequantizationKinds, dequantizations } from '../diffusion/likelihood/dequantization.js'
import type { Level } from '../diffusion/schedule.js'
import { DpmError, expected } from '../errors.js'
import { uniforms } from '../random/uniforms.js'
import { type FlowSolver, flowDensity, flowSolverKinds } from './flow-density.js'
import {
  defineLikelihoodMethod,
  type LikelihoodBatch,
  type LikelihoodModel,
  type LikelihoodRun,
  type MethodContext,
} from './likelihood-method.js'
import { probeKinds, type Trace } from './probability-flow.js'

const odeSchema = z.strictObject({
  kind: z.literal('ode'),
  solver: z
    .enum(flowSolverKinds)
    .default('rk45')
    .describe('rk45: steps that adapt to each image; the others take a fixed number of steps'),
  tolerance: z.number().gt(0).lt(1).default(1e-5).describe('of rk45, relative and absolute'),
  maxEvaluations: z.int().min(10).default(10_000).describe('that rk45 may take for one image'),
  steps: z.int().min(1).default(64).describe('of the other solvers'),
  trace: z
    .enum([...probeKinds, 'exact'])
    .default('rademacher')
    .describe('random signs or normals as probes of the trace, or exact: a probe for every element'),
  probes: z.int().min(1).default(1).describe('random probes per image'),
  dequantization: z
    .enum(dequantizationKinds)
    .default('uniform')
    .describe('(k + u) / 128 - 1 (published numbers); centered: bins about k / 127.5 - 1; none: no bound'),
  draws: z.int().min(1).default(1).describe('dequantised draws of each image, weighed by importance'),
  start: z
    .number()
    .nullable()
    .default(null)
    .describe("time whose x the data is taken for; null: the schedule's cleanest"),
})

type OdeSettings = z.output<typeof odeSchema>

export interface OdeDetails {
  readonly kind: 'ode'
  /** Mean number of evaluations of the flow per image and draw. */
  readonly evaluations: number
  /** Bits per dimension that the width of the bins adds, or, of vectors, the units of the columns: a mean over them. */
  readonly offset: number
}

export const ode = defineLikelihoodMethod({
  name: 'ode',
  options: odeSchema,
  takesVectors: true,
  start(model, settings): LikelihoodRun<OdeDetails> {
    if (settings.draws > 1 && !dequantizations[settings.dequantization].isRandom) {
      throw new DpmError(
        'DPM_INVALID_OPTION',
        `\`draws\` ${settings.draws} of each image are all the same with dequantization "${settings.dequantization}". Use "uniform", or one draw.`,
      )
    }
    if (model.denoiser.encode) {
      throw new DpmError(
        'DPM_INVALID_OPTION',
        'The method "ode" follows the flow of the schedule\'s own forward process, and the model learned another. Use the method "vlb".',
      )
    }
    return new FlowLikelihood(model, settings, startLevel(model, settings))
  },
})

function startLevel({ denoiser: { schedule } }: LikelihoodModel, { start }: OdeSettings): Level {
  const level = schedule.level(start ?? schedule.cleanest)
  if (level.sigma > 0 && level.time < schedule.noisiest) return level
  throw expected(
    `a time above ${schedule.clean.time} and below ${schedule.noisiest}`,
    'start',
    start,
    'The flow has no slope where there is no noise.',
    'DPM_INVALID_OPTION',
  )
}

class FlowLikelihood implements LikelihoodRun<OdeDetails> {
  readonly #model: LikelihoodModel
  readonly #settings: OdeSettings
  readonly #start: Level
  #binWidth = 1
  #evaluations = 0
  #flows = 0

  constructor(model: LikelihoodModel, settings: OdeSettings, start: Level) {
    this.#model = model
    this.#settings = settings
    this.#start = start
  }

  async add({ values, examples, elements, columns }: LikelihoodBatch, context: MethodContext): Promise<number[]> {
    const { dequantization, trace, probes } = this.#settings
    const { seed, signal, onProgress } = context
    const { place, binWidth } = columns ? unitsOf(columns) : dequantizations[dequantization]
    // Vectors have no bins, so that all draws would be the same.
    const draws = columns ? 1 : this.#settings.draws
    this.#binWidth = binWidth
    const logDensities = examples.map(() => new Float64Array(draws))
    for (let draw = 0; draw < draws; draw++) {
      const x = new Float64Array(values.length)
      for (const [n, example] of examples.entries()) {
        const shifts = uniforms(seed, 'dequantization', draw, example, elements)
        for (const [i, u] of shifts.entries()) x[n * elements + i] = place(values[n * elements + i] ?? 0, u)
      }
      const flow = await flowDensity({
        denoiser: this.#model.denoiser,
        x,
        examples,
        draw,
        start: this.#start,
        solver: solverOf(this.#settings),
        trace: traceOf(trace, probes),
        seed,
        signal,
        onProgress: (fraction) => onProgress((draw + fraction) / draws),
      })
      for (const [n, one] of flow.logDensities.entries()) logDensities[n]?.fill(one, draw, draw + 1)
      for (const one of flow.evaluations) this.#evaluations += one
      this.#flows += examples.length
    }
    return logDensities.map((ofImage) => bitsPerDimension(-logMeanExp(ofImage), elements, binWidth))
  }

  details(): OdeDetails {
    return {
      kind: 'ode',
      evaluations: this.#evaluations / this.#flows,
      offset: bitsPerDimension(0, 1, this.#binWidth),
    }
  }
}

/** Values as they are; the width of a "bin" is what a unit of a column is to the network, a geometric mean over the columns. */
function unitsOf({ deviations }: Columns): { readonly place: (value: number) => number; readonly binWidth: number } {
  const mean = deviations.reduce((sum, deviation) => sum + Math.log(deviation), 0) / deviations.length
  return { place: (value) => value, binWidth: Math.exp(-mean) }
}

function solverOf({ solver: kind, tolerance, maxEvaluations, steps }: OdeSettings): FlowSolver {
  return kind === 'rk45' ? { kind, tolerance, maxEvaluations } : { kind, steps }
}

function traceOf(kind: OdeSettings['trace'], probes: number): Trace {
  return kind === 'exact' ? { kind } : { kind, probes }
}
