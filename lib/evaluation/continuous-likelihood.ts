/**
 * The variational bound of continuous time (VDM: Kingma et al. 2021, arXiv 2107.00630, eq. 11 and 17–18), on images of 8-bit values x.
 * With gamma = -ln(alpha² / sigma²) from the schedule's cleanest level to its noisiest, and the noise that the denoiser's clean
 * image stands for,
 *
 *     -ln p(x) ≤ E[-ln p(x | z_cleanest)] + KL(q(z_noisiest | x) || prior) + ½ ∫ E |noise - predicted|² d gamma
 *
 * where the decoder p(x | z) ∝ q(z | x) is over the 256 values. The integral is a mean over gammas, one from each of so many equal parts
 * of the range: what the schedule does between its ends does not matter.
 */
import * as z from 'zod'
import type { ExampleValues } from '../datasets/data-set.js'
import { reconstructionTerm } from '../diffusion/learned/bound-ends.js'
import { bitsPerDimension } from '../diffusion/likelihood/bits-per-dimension.js'
import { limited, priorTerms } from '../diffusion/likelihood/variational-terms.js'
import { type Level, ratioOf, requireSignal, type Schedule } from '../diffusion/schedule.js'
import { DpmError } from '../errors.js'
import { normals, uniform } from '../random/philox.js'
import {
  defineLikelihoodMethod,
  type LikelihoodBatch,
  type LikelihoodModel,
  type LikelihoodRun,
  type MethodContext,
} from './likelihood-method.js'

const options = z.strictObject({
  kind: z.literal('continuous-vlb'),
  levels: z.int().min(1).default(64).describe('levels at which the noise of each image is predicted'),
  clip: z.boolean().default(false).describe('keep the predicted clean image in [-1, 1]'),
})

type Settings = z.output<typeof options>

/** Means over the images, bits per dimension. */
export interface ContinuousVlbDetails {
  readonly kind: 'continuous-vlb'
  readonly reconstruction: number
  readonly prior: number
  readonly diffusion: number
}

export const continuousVlb = defineLikelihoodMethod({
  name: 'continuous-vlb',
  options,
  start(model, settings): LikelihoodRun<ContinuousVlbDetails> {
    const { schedule } = model.denoiser
    if (schedule.steps !== undefined) {
      throw new DpmError(
        'DPM_INVALID_OPTION',
        `The method "continuous-vlb" needs a schedule of continuous time, but schedule \`${schedule.name}\` has ${schedule.steps} times. Use the method "vlb".`,
      )
    }
    requireSignal(schedule, 'The method "continuous-vlb"', 'Use the method "ode".')
    return new ContinuousBound(model, settings)
  },
})

class ContinuousBound implements LikelihoodRun<ContinuousVlbDetails> {
  readonly #model: LikelihoodModel
  readonly #settings: Settings
  readonly #first: number
  readonly #last: number
  readonly #sums = { reconstruction: 0, prior: 0, diffusion: 0 }
  #images = 0

  constructor(model: LikelihoodModel, settings: Settings) {
    const { schedule } = model.denoiser
    this.#model = model
    this.#settings = settings
    this.#first = gammaAt(schedule, schedule.cleanest)
    this.#last = gammaAt(schedule, schedule.noisiest)
  }

  async add(batch: LikelihoodBatch, context: MethodContext): Promise<number[]> {
    const { values, examples, elements } = batch
    const { levels: count } = this.#settings
    const x = Float64Array.from(values, (value) => value / 127.5 - 1)
    const prior = priorTerms(this.#model.denoiser.schedule, x, examples.length)
    const errors = new Float64Array(examples.length)
    for (let part = 0; part < count; part++) {
      const found = await this.#noiseErrors(x, examples, part, context)
      for (const [n, error] of found.entries()) errors[n] = (errors[n] ?? 0) + error / count
      context.onProgress((part + 1) / count)
    }
    this.#images += examples.length
    return examples.map((_, n) => {
      const terms = {
        reconstruction: bitsPerDimension(
          reconstructionTerm(this.#first, sharesOf(values.subarray(n * elements, (n + 1) * elements))).value,
          1,
        ),
        prior: prior[n] ?? Number.NaN,
        diffusion: bitsPerDimension(0.5 * (this.#last - this.#first) * (errors[n] ?? 0), 1),
      }
      this.#sums.reconstruction += terms.reconstruction
      this.#sums.prior += terms.prior
      this.#sums.diffusion += terms.diffusion
      return terms.reconstruction + terms.prior + terms.diffusion
    })
  }

  details(): ContinuousVlbDetails {
    const { reconstruction, prior, diffusion } = this.#sums
    const images = this.#images
    return {
      kind: 'continuous-vlb',
      reconstruction: reconstruction / images,
      prior: prior / images,
      diffusion: diffusion / images,
    }
  }

  /** Mean squared error of each image's noise at a gamma of its own in one part of the range. */
  async #noiseErrors(
    x: Float64Array,
    examples: readonly number[],
    part: number,
    { seed, signal }: MethodContext,
  ): Promise<number[]> {
    const elements = x.length / examples.length
    const levels = examples.map((example) => this.#levelOf(part, uniform(seed, 'time', part, example)))
    const noises = examples.map((example) => normals(seed, 'forward', part, example, elements))
    const noisy = new Float64Array(x.length)
    for (const [n, { alpha, sigma }] of levels.entries()) {
      for (let i = 0; i < elements; i++) {
        noisy[n * elements + i] = alpha * (x[n * elements + i] ?? 0) + sigma * (noises[n]?.[i] ?? 0)
      }
    }
    const { clean } = await this.#model.denoiser.denoise(noisy, levels, examples, signal)
    const range = this.#settings.clip ? { low: -1, high: 1 } : null
    return levels.map(({ alpha, sigma }, n) => {
      let error = 0
      for (let i = n * elements; i < (n + 1) * elements; i++) {
        // Off in the clean image by e, off in the noise by alpha e / sigma.
        error += ((alpha / sigma) * (limited(clean[i] ?? Number.NaN, range) - (x[i] ?? 0))) ** 2 / elements
      }
      return error
    })
  }

  #levelOf(part: number, u: number): Level {
    const gamma = this.#first + ((part + u) / this.#settings.levels) * (this.#last - this.#first)
    return this.#model.denoiser.schedule.atRatio(Math.exp(gamma / 2))
  }
}

function gammaAt(schedule: Schedule, time: number): number {
  return 2 * Math.log(ratioOf(schedule.level(time)))
}

function sharesOf(values: ExampleValues): Float64Array {
  const shares = new Float64Array(256)
  for (const value of values) shares[value] = (shares[value] ?? 0) + 1 / values.length
  return shares
}
