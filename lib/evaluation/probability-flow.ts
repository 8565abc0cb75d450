/**
 * The probability flow of many samples, each at its own place of the way, and log p(x) at its end, for any schedule (Song
 * et al. 2021, arXiv 2011.13456, eq. 39).
 *
 * Let rho = sqrt(alpha² + sigma²), u = x / rho and theta = atan(sigma / alpha), so that u = cos(theta) x_0 + sin(theta)
 * noise: every schedule becomes the same quarter circle, from 0 (data) to at most π/2 (noise alone), where both ends are
 * finite. With clean(x) = E[x_0 | x], y = x / alpha and r = sigma / alpha, the flow is dy/dr = (y - clean) / r (the paper's
 * eq. 13 with the score (alpha clean - x) / sigma²). By u = y cos(theta) and r = tan(theta) it is
 *
 *     du/dtheta  = (cos(theta) u - clean(rho u)) / sin(theta)
 *     divergence = (D cos(theta) - rho trace(∂clean/∂x)) / sin(theta)
 *
 * and, d log p(u(theta))/dtheta being minus the divergence, with D log rho for the change between u and x at either end,
 *
 *     log p(x at the start) = log N(x at the end; 0, prior²) + D log(rho_end / rho_start) + integral of the divergence
 *
 * The divergence is exact, or its estimate with v · v for D and v · J v for the trace, the mean over probes v of mean 0 and
 * covariance 1 that are drawn once for the whole way (Hutchinson 1989; Grathwohl et al. 2019, arXiv 1810.01367). Random
 * signs (Rademacher) have less variance than normals: for them v · v is D.
 */
import { denoiseAndProbe, elementsOf, type LikelihoodDenoiser } from '../diffusion/likelihood/likelihood-denoiser.js'
import type { Level, Schedule } from '../diffusion/schedule.js'
import { DpmError, throwIfAborted } from '../errors.js'
import { normals } from '../random/philox.js'
import { uniforms } from '../random/uniforms.js'

/** Distributions of a trace probe: element by element with mean 0 and variance 1. */
export const probeKinds = ['rademacher', 'gaussian'] as const
export type ProbeKind = (typeof probeKinds)[number]

/** What a trace is made of: so many probes of a kind, or every axis in turn. */
export type Trace = { readonly kind: ProbeKind; readonly probes: number } | { readonly kind: 'exact' }

export interface FlowOptions {
  readonly denoiser: LikelihoodDenoiser
  /** N × elements, taken as x at `start`. */
  readonly x: Float64Array
  /** N, which image of the data each is: the key of its probes. */
  readonly examples: readonly number[]
  /** Which draw of its image this is, 0, 1, 2 …: part of the probes' key. */
  readonly draw: number
  /** The cleanest level that the model is asked at. */
  readonly start: Level
  readonly trace: Trace
  readonly seed: number
  readonly signal?: AbortSignal | undefined
}

/** Slopes of the chosen samples, S × elements, and their divergences, S. */
export interface Slopes {
  readonly u: Float64Array
  readonly divergences: Float64Array
}

/** Slopes along theta, and log p once the end has been reached. */
export class ProbabilityFlow {
  readonly elements: number
  readonly begin: number
  readonly end: number
  readonly #options: FlowOptions
  readonly #schedule: Schedule
  readonly #last: Level
  readonly #probes: readonly Float64Array[]
  /** How much each probe counts. */
  readonly #share: number
  /** v · v of each sample, the mean over its probes: an estimate of D. */
  readonly #powers: Float64Array

  constructor(options: FlowOptions) {
    const { x, examples, start, denoiser } = options
    this.#options = options
    this.#schedule = denoiser.schedule
    this.#last = this.#schedule.level(this.#schedule.noisiest)
    this.elements = elementsOf(x, examples.length, 'x')
    this.begin = angleOf(start)
    this.end = angleOf(this.#last)
    this.#probes = this.#drawProbes()
    const share = options.trace.kind === 'exact' ? 1 : 1 / options.trace.probes
    this.#share = share
    this.#powers = new Float64Array(examples.length)
    for (const probe of this.#probes) {
      for (const [i, one] of probe.entries()) {
        const sample = Math.floor(i / this.elements)
        this.#powers[sample] = (this.#powers[sample] ?? 0) + share * one * one
      }
    }
  }

  /** @param samples S. @param angles S. @param u S × elements. */
  async slopes(samples: readonly number[], angles: readonly number[], u: Float64Array): Promise<Slopes> {
    const { denoiser, examples, signal } = this.#options
    throwIfAborted(signal, 'The likelihood')
    const elements = this.elements
    const levels = angles.map((angle) => this.#levelAt(angle))
    const radii = levels.map(radiusOf)
    const x = u.map((value, i) => (radii[Math.floor(i / elements)] ?? 0) * value)
    const asked = samples.map((sample) => examples[sample] ?? 0)
    const traces = new Float64Array(samples.length)
    let clean: ArrayLike<number> = x
    for (const probe of this.#probes) {
      const vector = new Float64Array(u.length)
      for (const [s, sample] of samples.entries()) {
        vector.set(probe.subarray(sample * elements, (sample + 1) * elements), s * elements)
      }
      const answer = await denoiseAndProbe(denoiser, x, levels, vector, asked, signal)
      clean = answer.clean
      for (const [s, one] of answer.curvatures.entries()) traces[s] = (traces[s] ?? 0) + this.#share * one
    }
    const slope = u.map((value, i) => {
      const angle = angles[Math.floor(i / elements)] ?? 0
      return (Math.cos(angle) * value - (clean[i] ?? Number.NaN)) / Math.sin(angle)
    })
    const divergences = traces.map((one, s) => {
      const angle = angles[s] ?? 0
      return ((this.#powers[samples[s] ?? 0] ?? 0) * Math.cos(angle) - (radii[s] ?? 0) * one) / Math.sin(angle)
    })
    for (const [s, divergence] of divergences.entries()) {
      if (Number.isFinite(divergence) && slope.subarray(s * elements, (s + 1) * elements).every(Number.isFinite))
        continue
      throw new DpmError(
        'DPM_NON_FINITE',
        `The probability flow of image ${asked[s]} is not finite at time ${levels[s]?.time}: the network gives NaN or infinite numbers there. Look at it with \`precision\` float32.`,
      )
    }
    return { u: slope, divergences }
  }

  /** x at the start as u, N × elements. */
  first(): Float64Array {
    const radius = radiusOf(this.#options.start)
    return this.#options.x.map((value) => value / radius)
  }

  /**
   * log p(x) at the start of one sample, in nats.
   * @param u where it ended, elements. @param integral of the divergence on the way there.
   */
  logDensity(u: Float64Array, integral: number): number {
    const prior = this.#schedule.prior(this.#last)
    const [first, last] = [radiusOf(this.#options.start), radiusOf(this.#last)]
    const ofElement = Math.log(last / first) - Math.log(prior) - Math.log(2 * Math.PI) / 2
    return u.reduce((sum, value) => sum + ofElement - ((last * value) / prior) ** 2 / 2, integral)
  }

  #levelAt(angle: number): Level {
    // u at the end is known to a rounding only, and alpha there may be 0: the level itself is meant.
    if (angle >= this.end - 1e-12) return this.#last
    return angle <= this.begin ? this.#options.start : this.#schedule.atRatio(Math.tan(angle))
  }

  #drawProbes(): Float64Array[] {
    const { trace, x, examples, draw, seed } = this.#options
    const { elements } = this
    if (trace.kind === 'exact') {
      return Array.from({ length: elements }, (_, axis) => x.map((_, i) => (i % elements === axis ? 1 : 0)))
    }
    return Array.from({ length: trace.probes }, (_, probe) => {
      const vector = new Float64Array(x.length)
      for (const [n, example] of examples.entries()) {
        vector.set(probes[trace.kind](seed, draw * trace.probes + probe, example, elements), n * elements)
      }
      return vector
    })
  }
}

const probes = {
  rademacher: (seed, step, example, count) =>
    uniforms(seed, 'probe', step, example, count).map((one) => (one < 0.5 ? -1 : 1)),
  gaussian: (seed, step, example, count) => normals(seed, 'probe', step, example, count),
} as const satisfies Record<ProbeKind, (seed: number, step: number, example: number, count: number) => Float64Array>

function angleOf({ alpha, sigma }: Level): number {
  return Math.atan2(sigma, alpha)
}

function radiusOf({ alpha, sigma }: Level): number {
  return Math.hypot(alpha, sigma)
}
