/** A guide that judges the clean image which the network predicts. */
import { expected } from '../../errors.js'
import type { Network } from '../../networks/network.js'
import { Tensor } from '../../tensor/tensor.js'
import { type Source, takesEveryClass } from '../generate.js'
import type { Guide, GuideLevel } from '../program-run.js'

/** ∇ log p(wanted | clean) at the clean images that the network predicts, N×C×H×W in [-1, 1]; its answer has their shape. */
export type CleanGradient = (clean: Tensor<'float32'>, level: GuideLevel) => Promise<Tensor>

/**
 * A guide that judges the predicted clean image instead of the noisy x (Bansal et al. 2023, arXiv 2302.07121): any
 * differentiable loss, or classifier of clean images, will do. Its gradient goes back through the denoiser,
 *
 *     ∇_x = cSkip g + cIn · (∂F/∂(cIn x))ᵀ (cOut g),   g = the gradient at clean = cSkip x + cOut F(cIn x)
 *
 * which costs a forward and a backward pass of the network for each evaluation.
 * @param model a loaded model, such as the sampled one
 * @param options.classes class index of each sample of the run; when absent the null class, or the run's own classes of a network
 *   that has none
 */
export function guideOnClean(
  model: { readonly source: Source; readonly network: Network },
  gradient: CleanGradient,
  options: { readonly classes?: ArrayLike<number> } = {},
): Guide {
  const { process, precision } = model.source
  const isTold = takesEveryClass(model.source)
  return async (x, level) => {
    const { cIn, cSkip, cOut } = process.prediction.numbers(level)
    const values = await x.data()
    using input = Tensor.from(
      values.map((value) => cIn * value),
      x.shape,
    )
    const labels = new Array<number>(x.shape[0] ?? 0).fill(process.label(level))
    const named = options.classes && level.places.map((place) => options.classes?.[place] ?? 0)
    const classes = named ?? (isTold ? level.classes : undefined)
    using pass = await model.network.forward(input, labels, { classes, gradient: true, precision })
    const [count = 0, channels = 0] = x.shape
    const size = values.length / count
    // Of a network with learned variance the first half of the channels says what is predicted.
    const stride = size * ((pass.output.shape[1] ?? 0) / channels)
    const placeOf = (i: number): number => Math.floor(i / size) * stride + (i % size)
    const output = await pass.output.data()
    using clean = Tensor.from(
      values.map((value, i) => cSkip * value + cOut * (output[placeOf(i)] ?? 0)),
      x.shape,
    )
    using judged = await gradient(clean as Tensor<'float32'>, level)
    const pull = await (judged as Tensor<'float32'>).data()
    if (judged.shape.join() !== x.shape.join()) {
      throw expected(`a gradient of shape ${x.shape.join('×')}`, 'gradient', judged.shape.join('×'))
    }
    const back = new Float32Array(output.length)
    pull.forEach((value, i) => {
      back[placeOf(i)] = cOut * value
    })
    using upstream = Tensor.from(back, pass.output.shape)
    using gradients = await pass.backward(upstream)
    const through = await gradients.input.data()
    return Tensor.from(
      through.map((value, i) => cIn * value + cSkip * (pull[i] ?? 0)),
      x.shape,
    )
  }
}
