/** A native network as likelihoods ask it: float64 in, the clean image and its vector–Jacobian product out. */
import type { ImageShape } from '../datasets/data-set.js'
import type { DiffusionProcess } from '../diffusion/diffusion-options.js'
import { forwardLabel, gateAt } from '../diffusion/forward-step.js'
import type { LikelihoodDenoiser } from '../diffusion/likelihood/likelihood-denoiser.js'
import { isLearned } from '../diffusion/posterior.js'
import type { PredictionNumbers } from '../diffusion/prediction.js'
import type { Level } from '../diffusion/schedule.js'
import { DpmError } from '../errors.js'
import type { Precision } from '../native/device.js'
import { learnsForwardStep } from '../networks/list.js'
import type { Network } from '../networks/network.js'
import { Tensor } from '../tensor/tensor.js'

export interface NetworkDenoiserParts {
  readonly network: Network
  readonly process: DiffusionProcess
  readonly image: ImageShape
  readonly precision: Precision
  /** Class of an image of the data; absent where the network is asked without class. */
  readonly classOf?: ((example: number) => number) | undefined
  /** Images per call of the network, always as many: a call that has fewer is filled up. 32 when absent. */
  readonly chunk?: number | undefined
}

/**
 * clean = cSkip x + cOut F(cIn x), so the product of its Jacobian, transposed, with v is cSkip v + cIn J_Fᵀ (cOut v). Only
 * F is computed in the network's precision.
 */
export function networkDenoiser(parts: NetworkDenoiserParts): LikelihoodDenoiser {
  return {
    schedule: parts.process.schedule,
    ...(learnsForwardStep(parts.network.settings) && { encode: (x, levels) => encodeInChunks(parts, x, levels) }),
    async denoise(x, levels, examples, signal) {
      const { clean, variance } = await inChunks(parts, x, levels, null, examples, signal)
      return variance ? { clean, variance } : { clean }
    },
    async pull(x, levels, vector, examples, signal) {
      const { clean, product } = await inChunks(parts, x, levels, vector, examples, signal)
      if (!product) throw new DpmError('DPM_INTERNAL', 'The backward pass of a likelihood gave no product.')
      return { clean, product }
    },
  }
}

/** F(x_0, t) of each image at its level; the clean image itself has a gate of 0. */
async function encodeInChunks(
  { network, process, image: { channels, height, width }, chunk = 32 }: NetworkDenoiserParts,
  x: Float64Array,
  levels: readonly Level[],
): Promise<Float64Array> {
  const elements = x.length / levels.length
  const encoded = new Float64Array(x.length)
  for (let begin = 0; begin < levels.length; begin += chunk) {
    const end = Math.min(begin + chunk, levels.length)
    const filled = Array.from({ length: chunk }, (_, n) => Math.min(begin + n, end - 1))
    const values = new Float32Array(chunk * elements)
    for (const [slot, n] of filled.entries()) values.set(x.subarray(n * elements, (n + 1) * elements), slot * elements)
    using images = Tensor.from(values, [chunk, channels, height, width])
    const asked = filled.map((n) => levels[n] as Level)
    using moved = await network.encode(
      images,
      asked.map((level) => forwardLabel(process, level)),
      asked.map(gateAt),
    )
    encoded.set((await moved.data()).subarray(0, (end - begin) * elements), begin * elements)
  }
  return encoded
}

interface Answers {
  readonly clean: Float64Array
  readonly variance: Float64Array | undefined
  readonly product: Float64Array | undefined
}

async function inChunks(
  parts: NetworkDenoiserParts,
  x: Float64Array,
  levels: readonly Level[],
  vector: Float64Array | null,
  examples: readonly number[],
  signal: AbortSignal | undefined,
): Promise<Answers> {
  const { chunk = 32, process } = parts
  const elements = x.length / levels.length
  const answers: Answers = {
    clean: new Float64Array(x.length),
    variance: isLearned(process.settings.variance) ? new Float64Array(x.length) : undefined,
    product: vector ? new Float64Array(x.length) : undefined,
  }
  for (let begin = 0; begin < levels.length; begin += chunk) {
    const end = Math.min(begin + chunk, levels.length)
    // Filled up with its last sample, so that the network's shape, and with it the arithmetic, is always the same.
    const filled = Array.from({ length: chunk }, (_, n) => Math.min(begin + n, end - 1))
    const numbers = filled.map((n) => parts.process.prediction.numbers(levels[n] as Level))
    const take = (from: Float64Array, scale: 'cIn' | 'cOut'): Float32Array<ArrayBuffer> => {
      const values = new Float32Array(chunk * elements)
      for (const [slot, n] of filled.entries()) {
        const factor = numbers[slot]?.[scale] ?? Number.NaN
        for (let i = 0; i < elements; i++) values[slot * elements + i] = factor * (from[n * elements + i] ?? 0)
      }
      return values
    }
    const labels = filled.map((n) => process.label(levels[n] as Level))
    const classes = parts.classOf && Int32Array.from(filled, (n) => parts.classOf?.(examples[n] ?? 0) ?? 0)
    const pass = await passThrough(parts, take(x, 'cIn'), labels, classes, vector && take(vector, 'cOut'), signal)
    collect(answers, pass, numbers, x, vector, begin, end)
  }
  return answers
}

interface PassValues {
  /** Chunk × C×H×W of F, or with 2C channels where the second half is a learned variance. */
  readonly output: Float32Array
  readonly product: Float32Array | null
}

async function passThrough(
  { network, image: { channels, height, width }, precision, process, chunk = 32 }: NetworkDenoiserParts,
  x: Float32Array,
  labels: readonly number[],
  classes: Int32Array | undefined,
  vector: Float32Array | null,
  signal: AbortSignal | undefined,
): Promise<PassValues> {
  using input = Tensor.from(x, [chunk, channels, height, width])
  using pass = await network.forward(input, labels, { classes, gradient: vector !== null, precision, signal })
  const output = await pass.output.data()
  if (vector === null) return { output, product: null }
  const outputs = isLearned(process.settings.variance) ? 2 : 1
  const elements = channels * height * width
  const gradient = new Float32Array(chunk * outputs * elements)
  for (let n = 0; n < chunk; n++)
    gradient.set(vector.subarray(n * elements, (n + 1) * elements), n * outputs * elements)
  using gradientTensor = Tensor.from(gradient, [chunk, outputs * channels, height, width])
  using gradients = await pass.backward(gradientTensor)
  return { output, product: await gradients.input.data() }
}

function collect(
  { clean, variance, product }: Answers,
  pass: PassValues,
  numbers: readonly PredictionNumbers[],
  x: Float64Array,
  vector: Float64Array | null,
  begin: number,
  end: number,
): void {
  const elements = pass.output.length / numbers.length / (variance ? 2 : 1)
  const stride = variance ? 2 * elements : elements
  for (let n = begin; n < end; n++) {
    const { cIn = Number.NaN, cSkip = Number.NaN, cOut = Number.NaN } = numbers[n - begin] ?? {}
    for (let i = 0; i < elements; i++) {
      const [at, slot] = [n * elements + i, (n - begin) * stride + i]
      clean[at] = cSkip * (x[at] ?? 0) + cOut * (pass.output[slot] ?? 0)
      if (variance) variance[at] = pass.output[slot + elements] ?? 0
      if (product) product[at] = cSkip * (vector?.[at] ?? 0) + cIn * (pass.product?.[(n - begin) * elements + i] ?? 0)
    }
  }
}
