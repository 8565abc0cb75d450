/** A trained model as likelihoods ask it: its network over the images of a data set, each given its own class. */
import { type DataSet, requireDataSet } from '../datasets/data-set.js'
import { DpmError, expected } from '../errors.js'
import { Diffusion } from '../generation/diffusion.js'
import type { Precision } from '../native/device.js'
import type { LikelihoodModel } from './likelihood-method.js'
import { networkDenoiser } from './network-denoiser.js'

export interface LikelihoodModelOptions {
  /** Whether a class-conditional network is told the class of each image: log p(image | class). True when absent. */
  readonly withClass?: boolean | undefined
  /** Arithmetic of the network; the run's own when absent. */
  readonly precision?: Precision | undefined
  /** Images per call of the network, always as many; 32 when absent. The numbers' last digits depend on it. */
  readonly chunk?: number | undefined
}

/** @throws DpmError DPM_INVALID_OPTION when model and data differ in shape or classes. */
export function likelihoodModel(
  model: Diffusion,
  dataSet: DataSet,
  { withClass = true, precision = model.settings.precision, chunk = 32 }: LikelihoodModelOptions = {},
): LikelihoodModel {
  if (!(model instanceof Diffusion)) throw expected('a Diffusion', 'model', model)
  requireDataSet(dataSet)
  const { network, process, image, settings, step } = model
  const shape = ({ channels, height, width }: typeof image): string => [channels, height, width].join('×')
  if (shape(image) !== shape(dataSet)) {
    throw new DpmError(
      'DPM_INVALID_OPTION',
      `The model is of images of ${shape(image)} (channels, height, width), but those of the data set ${dataSet.name} are ${shape(dataSet)}. Use the data that it was trained on.`,
    )
  }
  const isConditional = model.classes.length > 0
  const usesClass = isConditional && withClass
  if (usesClass && dataSet.classes.join('\n') !== model.classes.join('\n')) {
    throw new DpmError(
      'DPM_INVALID_OPTION',
      `The model knows ${model.classes.length} classes (${model.classes.slice(0, 3).join(', ')} …), and they are not the ${dataSet.classes.length} of the data set ${dataSet.name}. Use the data that it was trained on, or ask it without class.`,
    )
  }
  if (isConditional && !withClass && !settings.network.nullClass) {
    throw new DpmError(
      'DPM_INVALID_OPTION',
      'The network was not trained without its class (`network.nullClass`), so it has no likelihood without one. Give the classes.',
    )
  }
  return {
    denoiser: networkDenoiser({
      network,
      process,
      image,
      precision,
      chunk,
      classOf: usesClass ? (example) => dataSet.classOf(example) : undefined,
    }),
    variance: process.settings.variance,
    description: { step, precision, chunk, withClass: usesClass },
    columns: image.columns,
  }
}
