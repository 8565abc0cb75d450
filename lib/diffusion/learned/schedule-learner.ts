/**
 * How VDM's schedule learns (Kingma et al. 2021, arXiv 2107.00630, §5.1, appendices H and I.2). With gamma = -ln snr, a share S of
 * the way (`MonotoneNetwork`, or straight) and the time's place p,
 *
 *     gamma(p) = gamma_0 + (gamma_1 - gamma_0) S(p)
 *
 * The ends gamma_0 and gamma_1 go down the bound itself: diffusion, prior and reconstruction. The continuous-time bound does not
 * depend on the way between them, but the variance of its estimate does: the monotone network goes down the mean of the
 * examples' squared losses. Both follow by the chain rule from the derivatives of the loss by each example's row, which the
 * backward pass that trains the denoiser leaves behind; rows depend on the parameters through gamma and its slope.
 */
import { DpmError } from '../../errors.js'
import { type Row, rowFields } from '../../native/binding.js'
import { variancePreserving } from '../discrete-schedule.js'
import type { Level } from '../schedule.js'
import { Adam, type Numbers } from './adam.js'
import { priorTerm, reconstructionTerm } from './bound-ends.js'
import type { Learner, Observation } from './learner.js'
import { MonotoneNetwork, type PlacedGradient, type Point } from './monotone-network.js'

export interface ScheduleLearnerSettings {
  readonly gammaMin: number
  readonly gammaMax: number
  readonly shape: 'network' | 'straight'
  readonly ends: 'learned' | 'fixed'
  readonly units: number
  /** null: that of the denoiser. */
  readonly learningRate: number | null
  readonly cleanest: number
}

/** A row's derivatives by gamma and by its slope in time. */
interface RowSlopes {
  readonly byGamma: Row
  readonly bySlope: Row
}

/** Width of the stencil in gamma: its truncation and its rounding are about 1e-13. */
const width = 1e-3

export class ScheduleLearner implements Learner {
  readonly name = 'schedule'
  readonly needsRowGradients = true
  readonly state: Numbers
  readonly #ends: Float64Array
  readonly #network: MonotoneNetwork | undefined
  readonly #adam: Adam
  readonly #learningRate: number | null
  readonly #cleanest: number
  readonly #learnsEnds: boolean

  constructor({ gammaMin, gammaMax, shape, ends, units, learningRate, cleanest }: ScheduleLearnerSettings) {
    this.#ends = Float64Array.of(gammaMin, gammaMax)
    this.#network = shape === 'network' ? new MonotoneNetwork(units) : undefined
    this.#learnsEnds = ends === 'learned'
    this.#adam = new Adam({ ...(this.#learnsEnds && { ends: this.#ends }), ...this.#network?.parameters })
    this.state = this.#adam.state
    this.#learningRate = learningRate
    this.#cleanest = cleanest
  }

  /** gamma and d gamma / dt at a time from `cleanest` to 1. */
  at(time: number): Point {
    const [first = 0, last = 0] = this.#ends
    const { value, slope } = this.#share(time)
    return { value: first + (last - first) * value, slope: ((last - first) * slope) / (1 - this.#cleanest) }
  }

  /** The time at which gamma is that; the nearer end beyond them. By bisection, to the last digit. */
  timeOf(gamma: number): number {
    let [low, high] = [this.#cleanest, 1]
    if (!(gamma > this.at(low).value)) return low
    if (!(gamma < this.at(high).value)) return high
    for (;;) {
      const middle = low + (high - low) / 2
      if (middle <= low || middle >= high) return middle
      if (this.at(middle).value < gamma) low = middle
      else high = middle
    }
  }

  restored(): void {
    this.#network?.changed()
  }

  lossOf({ values }: Pick<Observation, 'values'>): number {
    const [first = 0, last = 0] = this.#ends
    const shares = values()
    return reconstructionTerm(first, shares).value + priorTerm(last, shares).value
  }

  observe(update: Observation): void {
    this.#adam.update(this.gradients(update), this.#learningRate ?? update.learningRate)
    this.restored()
    const [first = 0, last = 0] = this.#ends
    if (first < last) return
    throw new DpmError(
      'DPM_NON_FINITE',
      `The ends of the learned schedule crossed: gamma is ${first} at its cleanest and ${last} at its noisiest time. Lower \`diffusion.schedule.learningRate\`.`,
    )
  }

  /** Derivatives by all parameters: the ends' of the bound, the network's of the examples' mean squared loss. */
  gradients(update: Observation): Record<string, Float64Array> {
    const [first = 0, last = 0] = this.#ends
    const { times, losses, rows } = update
    const shares = update.values()
    let byFirst = reconstructionTerm(first, shares).slope
    let byLast = priorTerm(last, shares).slope
    const weight = rowFields.indexOf('weight')
    const points: PlacedGradient[] = []
    times.forEach((time, n) => {
      const { byGamma, bySlope } = this.#chain(update, n)
      const { value, slope } = this.#share(time)
      const perTime = slope / (1 - this.#cleanest)
      byFirst += byGamma * (1 - value) - bySlope * perTime
      byLast += byGamma * value + bySlope * perTime
      const loss = (rows[n * rowFields.length + weight] ?? 0) * (losses[n] ?? 0)
      const factor = 2 * loss * (last - first)
      points.push({
        place: this.#placeOf(time),
        byValue: factor * byGamma,
        bySlope: (factor * bySlope) / (1 - this.#cleanest),
      })
    })
    const ends = this.#learnsEnds && { ends: Float64Array.of(byFirst, byLast) }
    return { ...ends, ...this.#network?.gradients(points) }
  }

  /** Derivatives of the batch's loss by an example's gamma and its slope in time. */
  #chain(update: Observation, n: number): { readonly byGamma: number; readonly bySlope: number } {
    const { times, rowGradients, rowOf } = update
    const { value, slope } = this.at(times[n] ?? 0)
    const slopes = rowSlopes(rowOf, times[n] ?? 0, value, slope)
    const along = (row: Row): number =>
      rowFields.reduce(
        (sum, field, i) => sum + (rowGradients?.[n * rowFields.length + i] ?? Number.NaN) * row[field],
        0,
      )
    return { byGamma: along(slopes.byGamma), bySlope: along(slopes.bySlope) }
  }

  #share(time: number): Point {
    const place = this.#placeOf(time)
    return this.#network?.at(place) ?? { value: place, slope: 1 }
  }

  #placeOf(time: number): number {
    return (time - this.#cleanest) / (1 - this.#cleanest)
  }
}

/** The level of a schedule that preserves variance, with d ln snr / dt = -slope. */
export function levelOf(time: number, { value, slope }: Point): Level {
  return Object.freeze({ ...variancePreserving.fromRatio(Math.exp(value / 2)), time, logSnrSlope: -slope })
}

/** Through five levels in gamma, and two in its slope, on which only the weight depends, and that in proportion. */
function rowSlopes(rowOf: (level: Level) => Row, time: number, value: number, slope: number): RowSlopes {
  const at = (steps: number): Row => rowOf(levelOf(time, { value: value + steps * width, slope }))
  const [far, near, here, above, beyond] = [at(-2), at(-1), at(0), at(1), at(2)]
  const steeper = rowOf(levelOf(time, { value, slope: 2 * slope }))
  const of = (derivative: (field: keyof Row) => number): Row =>
    Object.fromEntries(rowFields.map((field) => [field, derivative(field)])) as Row
  return {
    byGamma: of((field) => (far[field] - 8 * near[field] + 8 * above[field] - beyond[field]) / (12 * width)),
    bySlope: of((field) => (steeper[field] - here[field]) / slope),
  }
}
