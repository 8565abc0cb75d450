/** A guide that is a classifier of noisy images. */
import { expected } from '../../errors.js'
import { Tensor } from '../../tensor/tensor.js'
import type { Guide, GuideLevel } from '../program-run.js'

/** What a classifier says of a batch: N×K logits, and how they hang on x. */
export interface ClassifierPass extends Disposable {
  readonly output: Tensor<'float32'>
  /** @param gradient of the shape of `output` */
  backward(gradient: Tensor): Promise<Disposable & { readonly input: Tensor<'float32'> }>
}

/** A classifier of noisy images, which is told how noisy they are. A `Network` that ends in K numbers per image is one. */
export interface Classifier {
  /** @param x N×C×H×W. @param labels N numbers: the time as the classifier is told it. */
  forward(x: Tensor, labels: ArrayLike<number>): Promise<ClassifierPass>
}

/**
 * Classifier guidance (Dhariwal and Nichol 2021, arXiv 2105.05233, §4): ∇_x log softmax(logits(x))[class], for a classifier that was
 * trained on images as noisy as the run's. One that was trained here, or imported, knows its classes and labels itself:
 * `NoisyClassifier`.
 * @param options.classes class index of each sample of the run
 * @param options.label how the classifier is told the level: the labeller of its process (`createProcess(…).label`); the step when absent
 */
export function guideByClassifier(
  classifier: Classifier,
  options: { readonly classes: ArrayLike<number>; readonly label?: (level: GuideLevel) => number },
): Guide {
  const { classes, label = ({ time }) => time } = options
  return async (x, level) => {
    const count = level.places.length
    using pass = await classifier.forward(x, new Array<number>(count).fill(label(level)))
    return await gradientTowards(
      pass,
      level.places.map((place) => ({ wanted: classes[place] ?? Number.NaN, option: `classes.${place}` })),
    )
  }
}

/**
 * ∇ log softmax(logits)[wanted] by the input of a pass, which it uses up.
 * @param targets the class index that is wanted of each image, and what to call it where it is none.
 * @throws DpmError DPM_INVALID_OPTION
 */
export async function gradientTowards(
  pass: ClassifierPass,
  targets: readonly { readonly wanted: number; readonly option: string }[],
): Promise<Tensor<'float32'>> {
  const logits = await pass.output.data()
  const known = logits.length / targets.length
  const gradient = new Float32Array(logits.length)
  targets.forEach(({ wanted, option }, n) => {
    if (!(Number.isInteger(wanted) && wanted >= 0 && wanted < known)) {
      throw expected(
        `an index from 0 to ${known - 1}, the classes that the classifier tells apart,`,
        option,
        wanted,
        `Give one for each sample of the run.`,
        'DPM_INVALID_OPTION',
      )
    }
    gradient.set(slopeOfLogProbability(logits.subarray(n * known, (n + 1) * known), wanted), n * known)
  })
  using upstream = Tensor.from(gradient, pass.output.shape)
  using gradients = await pass.backward(upstream)
  return gradients.input.to({})
}

/** ∂ log softmax(logits)[wanted] / ∂ logits. */
function slopeOfLogProbability(logits: Float32Array, wanted: number): Float64Array {
  const largest = logits.reduce((top, one) => Math.max(top, one), Number.NEGATIVE_INFINITY)
  const powers = Float64Array.from(logits, (one) => Math.exp(one - largest))
  const sum = powers.reduce((total, one) => total + one, 0)
  return powers.map((one, k) => (k === wanted ? 1 : 0) - one / sum)
}
