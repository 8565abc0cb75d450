/**
 * Uncertainty weighting (EDM2: Karras et al. 2024, arXiv 2312.02696, eq. 14–15 of appendix; Kendall et al. 2018, arXiv 1705.07115): what
 * is minimised at a level is
 *
 *     w L / exp(u) + u
 *
 * with the loss L there, another weighting w, and u that is learned beside the network and thrown away at the end. It is least at
 * u = ln E[w L]: every level then counts 1, however large its loss.
 *
 * u is linear in Fourier features of c = ln(sigma / alpha) / 4, sqrt(2 / channels) cos(2π (f c + φ)) with f ~ N(0, 1) and φ even over
 * [0, 1], the same in every run. It begins at 0.
 */
import * as z from 'zod'
import { rowFields } from '../../native/binding.js'
import { nameOrOptions, schemasOf } from '../../options/kind-schema.js'
import { normals } from '../../random/philox.js'
import { uniforms } from '../../random/uniforms.js'
import { Adam, type Numbers } from '../learned/adam.js'
import type { Learner, Observation } from '../learned/learner.js'
import { type Level, ratioOf, requireSignal, type Schedule } from '../schedule.js'
import { defineWeighting, type Weighting, type WeightingDefinition } from '../weighting.js'
import { formulas } from './formulas.js'

const options = z.strictObject({
  kind: z.literal('uncertainty'),
  of: nameOrOptions(z.discriminatedUnion('kind', schemasOf(formulas)))
    .prefault('edm')
    .describe('the weighting of the loss that it evens out'),
  channels: z.int().min(1).max(4096).default(128).describe('Fourier features'),
  learningRate: z
    .number()
    .positive()
    .nullable()
    .default(null)
    .describe("of Adam for its own numbers; null: the network's rate, as in EDM2"),
})

export const uncertainty = defineWeighting({
  name: 'uncertainty',
  options,
  create({ of, channels, learningRate }, schedule) {
    requireSignal(
      schedule,
      'The weighting "uncertainty"',
      'Choose another weighting, or a schedule that keeps some signal.',
    )
    const definition: WeightingDefinition = formulas[of.kind]
    const weight = definition.create(of, schedule)
    const learner = new Uncertainty(channels, learningRate, schedule)
    const weigh: Weighting = (level, numbers) => weight(level, numbers) * Math.exp(-learner.at(level))
    return Object.assign(weigh, { learner })
  },
})

const weightColumn = rowFields.indexOf('weight')

export class Uncertainty implements Learner {
  readonly name = 'weighting'
  readonly needsRowGradients = false
  readonly state: Numbers
  readonly #weights: Float64Array
  readonly #adam: Adam
  readonly #learningRate: number | null
  readonly #schedule: Schedule
  readonly #frequencies: Float64Array
  readonly #phases: Float64Array

  constructor(channels: number, learningRate: number | null, schedule: Schedule) {
    this.#weights = new Float64Array(channels)
    this.#adam = new Adam({ weights: this.#weights })
    this.state = this.#adam.state
    this.#learningRate = learningRate
    this.#schedule = schedule
    this.#frequencies = normals(0, 'weights', 0, 0, channels)
    this.#phases = uniforms(0, 'weights', 0, 1, channels)
  }

  /** u at a level. */
  at(level: Level): number {
    const features = this.#features(level)
    return this.#weights.reduce((sum, weight, i) => sum + weight * (features[i] ?? 0), 0)
  }

  restored(): void {
    // Nothing is derived from the weights.
  }

  /** Mean of u over the examples, each counted as its loss is. */
  lossOf({ times, scales }: Pick<Observation, 'times' | 'scales'>): number {
    return times.reduce(
      (sum, time, n) => sum + ((scales[n] ?? 0) * this.at(this.#schedule.level(time))) / times.length,
      0,
    )
  }

  observe(update: Observation): void {
    this.#adam.update({ weights: this.gradient(update) }, this.#learningRate ?? update.learningRate)
  }

  /** Of the mean over the examples of scale (w L / exp(u) + u), by the weights of u; rows hold scale w / exp(u). */
  gradient({ times, scales, rows, losses }: Pick<Observation, 'times' | 'scales' | 'rows' | 'losses'>): Float64Array {
    const gradient = new Float64Array(this.#weights.length)
    times.forEach((time, n) => {
      const weight = rows[n * rowFields.length + weightColumn] ?? 0
      const byU = ((scales[n] ?? 0) - weight * (losses[n] ?? 0)) / times.length
      const features = this.#features(this.#schedule.level(time))
      for (let i = 0; i < gradient.length; i++) gradient[i] = (gradient[i] ?? 0) + byU * (features[i] ?? 0)
    })
    return gradient
  }

  #features(level: Level): Float64Array {
    const place = Math.log(ratioOf(level)) / 4
    const size = Math.sqrt(2 / this.#weights.length)
    return this.#frequencies.map(
      (frequency, i) => size * Math.cos(2 * Math.PI * (frequency * place + (this.#phases[i] ?? 0))),
    )
  }
}
