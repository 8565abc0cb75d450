/** What a likelihood asks of a model: the clean image of every sample, each at a level of its own, in float64. */
import { expected } from '../../errors.js'
import type { Level, Schedule } from '../schedule.js'

export interface LikelihoodDenoiser {
  readonly schedule: Schedule
  /**
   * E[x_0 | x] as the model has it, not clipped, for N samples.
   * @param x N × elements
   * @param levels N
   * @param examples N, which image of the data each sample comes from
   */
  denoise(
    x: Float64Array,
    levels: readonly Level[],
    examples: readonly number[],
    signal?: AbortSignal,
  ): Promise<Denoised>
  /**
   * What is mixed with noise instead of the clean image where the forward step is learned (`forward-step.ts`), N × elements; x_0
   * itself where this is absent.
   * @param x N × elements, clean images
   */
  encode?(x: Float64Array, levels: readonly Level[], signal?: AbortSignal): Promise<Float64Array>
  /**
   * As `denoise`, and the clean image's Jacobian by x, transposed, times a vector of each sample. Where it is absent the
   * Jacobian is taken by central differences, which needs a denoiser that answers in float64.
   * @param vector N × elements
   */
  pull?(
    x: Float64Array,
    levels: readonly Level[],
    vector: Float64Array,
    examples: readonly number[],
    signal?: AbortSignal,
  ): Promise<Pulled>
}

/** One whose Jacobian needs no differences. */
export type PullingDenoiser = LikelihoodDenoiser & Required<Pick<LikelihoodDenoiser, 'pull'>>

export interface Denoised {
  /** N × elements. */
  readonly clean: ArrayLike<number>
  /** What the network says of a learned variance, N × elements; absent where the variance is fixed. */
  readonly variance?: ArrayLike<number> | undefined
}

export interface Pulled {
  /** N × elements. */
  readonly clean: ArrayLike<number>
  /** N × elements: sum over i of vector_i ∂clean_i / ∂x_j. */
  readonly product: ArrayLike<number>
}

/** The clean images, and vector · J · vector of each sample: what a trace estimate is made of. */
export async function denoiseAndProbe(
  denoiser: LikelihoodDenoiser,
  x: Float64Array,
  levels: readonly Level[],
  vector: Float64Array,
  examples: readonly number[],
  signal: AbortSignal | undefined,
): Promise<{ readonly clean: ArrayLike<number>; readonly curvatures: Float64Array }> {
  const { clean, product } = denoiser.pull
    ? await denoiser.pull(x, levels, vector, examples, signal)
    : await pushByDifferences(denoiser, x, levels, vector, examples, signal)
  const elements = x.length / levels.length
  const curvatures = new Float64Array(levels.length)
  for (let i = 0; i < x.length; i++) {
    const sample = Math.floor(i / elements)
    curvatures[sample] = (curvatures[sample] ?? 0) + (vector[i] ?? 0) * (product[i] ?? 0)
  }
  return { clean, curvatures }
}

/**
 * (clean(x + h v) - clean(x - h v)) / 2h, which stands for J v; h is a fraction of the noise, over which clean varies.
 * The truncation is of order h², the rounding of 1e-16 / h: 1e-4 of sigma leaves about 1e-8 of either.
 */
async function pushByDifferences(
  denoiser: LikelihoodDenoiser,
  x: Float64Array,
  levels: readonly Level[],
  vector: Float64Array,
  examples: readonly number[],
  signal: AbortSignal | undefined,
): Promise<Pulled> {
  const elements = x.length / levels.length
  const widths = levels.map(({ sigma }) => 1e-4 * sigma)
  const moved = (sign: number): Float64Array =>
    x.map((value, i) => value + sign * (widths[Math.floor(i / elements)] ?? 0) * (vector[i] ?? 0))
  const { clean } = await denoiser.denoise(x, levels, examples, signal)
  const { clean: above } = await denoiser.denoise(moved(1), levels, examples, signal)
  const { clean: below } = await denoiser.denoise(moved(-1), levels, examples, signal)
  const product = x.map((_, i) => {
    const width = widths[Math.floor(i / elements)] ?? 0
    return ((above[i] ?? 0) - (below[i] ?? 0)) / (2 * width)
  })
  return { clean, product }
}

/** @throws DpmError DPM_INVALID_ARGUMENT unless x holds one or more whole samples. @returns elements of one. */
export function elementsOf(x: ArrayLike<number>, count: number, name: string): number {
  const elements = x.length / count
  if (count > 0 && Number.isInteger(elements) && elements > 0) return elements
  throw expected(`the same number of elements for each of ${count} samples`, name, x.length)
}
