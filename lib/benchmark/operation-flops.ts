/**
 * Floating-point operations of the products that networks are made of, a multiplication and an addition each counted: from
 * the shapes that a profile has. A convolution counts as the direct sum does, by whatever algorithm it is computed; attention
 * back as PyTorch counts it, the scores made again included. What is not here is bound by memory.
 */
import type { NativeOperand, NativeOperation } from '../native/binding.js'
import { countOf } from '../tensor/tensor.js'

type Shape = readonly number[]
type Count = (inputs: readonly Shape[], outputs: readonly NativeOperand[]) => number

/** Products per position of the output: a weight is out × in × its extents. */
const perPosition = (weight: Shape): number => countOf(weight) / (weight[0] ?? 1)

/** A weight's products with every position that it is laid on. */
const convolution = (at: Shape, weight: Shape): number => 2 * countOf(at) * perPosition(weight)

const forward: Count = ([, weight = []], [out]) => convolution(out?.shape ?? [], weight)

/** By the input and by the weight, each only where it was asked for. A transposed convolution lays its weight on the input. */
const convolutionBackward: Count = ([gradient = [], input = [], weight = []], outputs) => {
  const transposed = gradient[1] !== weight[0] || countOf(gradient.slice(2)) > countOf(input.slice(2))
  const asked = outputs.slice(0, 2).filter(({ type }) => type !== null).length
  return asked * convolution(transposed ? input : gradient, weight)
}

/** Of the image and the gradient of what it became. */
const backwardWeight: Count = ([, gradient = []], [weight]) => convolution(gradient, weight?.shape ?? [])

/** (…, m, k) by (…, k, n). */
const product = (a: Shape = [], b: Shape = []): number => 2 * countOf(a) * (b.at(-1) ?? 1)

/** q: N×heads×positions×width; k: N×heads×others×width. Each product is one of them by the other. */
const attention =
  (products: number, first: number): Count =>
  (inputs) => {
    const [q = [], k = []] = inputs.slice(first)
    return products * 2 * countOf(q) * (k.at(-2) ?? 1)
  }

/** Joint rows of queries, keys and values: N×positions×3E. */
const jointAttention =
  (products: number): Count =>
  ([joint = []]) =>
    (products * 2 * countOf(joint) * (joint[1] ?? 1)) / 3

const counts: Readonly<Record<string, Count>> = {
  'aten::mkldnn_convolution': forward,
  'aten::cudnn_convolution': forward,
  'aten::convolution_overrideable': forward,
  'aten::_slow_conv2d_forward': forward,
  'aten::slow_conv_dilated2d': forward,
  'aten::_conv_depthwise2d': forward,
  'aten::slow_conv_transpose2d': ([input = [], weight = []]) => convolution(input, weight),
  'aten::convolution_backward': convolutionBackward,
  'dpm::winograd_convolution': forward,
  'dpm::winograd_convolution_backward_input': ([gradient = [], weight = []]) => convolution(gradient, weight),
  'dpm::winograd_convolution_backward_weight': backwardWeight,
  'dpm::pointwise_convolution': forward,
  'dpm::pointwise_convolution_backward_input': ([gradient = [], weight = []]) => convolution(gradient, weight),
  'dpm::pointwise_convolution_backward_weight': backwardWeight,
  'dpm::convolution_backward_weight': backwardWeight,
  'aten::mm': ([a, b]) => product(a, b),
  'aten::bmm': ([a, b]) => product(a, b),
  'aten::addmm': ([, a, b]) => product(a, b),
  'aten::baddbmm': ([, a, b]) => product(a, b),
  'aten::_scaled_dot_product_flash_attention_for_cpu': attention(2, 0),
  'aten::_scaled_dot_product_flash_attention_for_cpu_backward': attention(5, 1),
  'aten::_scaled_dot_product_flash_attention': attention(2, 0),
  'aten::_scaled_dot_product_flash_attention_backward': attention(5, 1),
  'aten::_scaled_dot_product_efficient_attention': attention(2, 0),
  'aten::_scaled_dot_product_efficient_attention_backward': attention(5, 1),
  'aten::_scaled_dot_product_cudnn_attention': attention(2, 0),
  'aten::_scaled_dot_product_cudnn_attention_backward': attention(5, 1),
  'dpm::attention': jointAttention(2),
  'dpm::attention_backward': jointAttention(5),
}

/** Of all its calls; 0 of what multiplies no matrices. */
export function operationFlops({ name, inputs, outputs, calls }: NativeOperation): number {
  if (!Object.hasOwn(counts, name)) return 0
  const count = counts[name]?.(
    inputs.map(({ shape }) => shape),
    outputs,
  )
  return calls * (count ?? 0)
}
