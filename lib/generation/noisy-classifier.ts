/** A trained or imported classifier of noisy images, to guide the sampling of another model by. */
import type { ImageShape } from '../datasets/data-set.js'
import type { DiffusionProcess } from '../diffusion/diffusion-options.js'
import { timeLabelsOfTime } from '../diffusion/time-label.js'
import { DpmError } from '../errors.js'
import type { Precision } from '../native/device.js'
import type { Network } from '../networks/network.js'
import { Tensor } from '../tensor/tensor.js'
import { dealClasses } from './generate.js'
import { gradientTowards } from './guides/classifier.js'
import { type LoadedModel, type LoadOptions, loadModel } from './load-model.js'
import type { ModelSettings } from './model-options.js'
import type { Guide, GuideLevel } from './program-run.js'

/** How far alpha or sigma of a run's level may be from the classifier's own at the same time. */
const levelTolerance = 1e-6

export class NoisyClassifier implements Disposable {
  readonly settings: ModelSettings
  /** How images were made noisy in its training. */
  readonly process: DiffusionProcess
  readonly network: Network
  readonly image: ImageShape
  /** Names of the classes that it tells apart, by index. */
  readonly classes: readonly string[]
  /** Updates that the weights have seen. */
  readonly step: number
  readonly #precision: Precision

  private constructor({ settings, process, network, image, classes, step, precision }: LoadedModel) {
    this.settings = settings
    this.process = process
    this.network = network
    this.image = image
    this.classes = classes
    this.step = step
    this.#precision = precision
  }

  /**
   * Loads the latest checkpoint of a run folder, or a checkpoint file.
   * @throws DpmError DPM_FILE_MISSING, DPM_FILE_INVALID, DPM_DEVICE_UNAVAILABLE, DPM_INVALID_ARGUMENT for weights it lacks,
   *   DPM_INVALID_OPTION for a network that denoises, DPM_NOT_TRUSTED for a TorchScript module without `trust`.
   */
  static async load(path: string, options: LoadOptions = {}): Promise<NoisyClassifier> {
    return new NoisyClassifier(await loadModel(path, options, 'logits'))
  }

  /**
   * Classifier guidance (Dhariwal and Nichol 2021, arXiv 2105.05233, §4): ∇_x log softmax(F(cIn x))[class], one of a run's `guides`.
   * @param options.classes names or indices, dealt out to the samples of the run in turn; all of them when absent.
   * @throws DpmError DPM_INVALID_OPTION for a class that it does not know; the guide throws it for images of another shape, and
   *   for a level that the classifier's schedule does not have at that time.
   */
  guide(options: { readonly classes?: readonly (number | string)[] | undefined } = {}): Guide {
    const asked = options.classes
    const dealt =
      dealClasses({ classes: this.classes, nullClass: false }, asked, asked?.length ?? this.classes.length) ?? []
    return async (x, level) => {
      this.#requireKnown(x, level)
      const { cIn } = this.process.prediction.numbers(level)
      using scaled = cIn === 1 ? undefined : await times(x, cIn)
      const labels = new Array<number>(level.places.length).fill(this.process.label(level))
      using pass = await this.network.forward(scaled ?? x, labels, { precision: this.#precision })
      const gradient = await gradientTowards(
        pass,
        level.places.map((place) => ({ wanted: dealt[place % dealt.length] ?? 0, option: `classes.${place}` })),
      )
      if (cIn === 1) return gradient
      using owned = gradient
      return times(owned, cIn)
    }
  }

  /** @throws DpmError DPM_INVALID_OPTION */
  #requireKnown(x: Tensor, level: GuideLevel): void {
    const { channels, height, width } = this.image
    const [known, given] = [[channels, height, width], x.shape.slice(1)].map((shape) => shape.join('×'))
    if (known !== given) {
      throw new DpmError(
        'DPM_INVALID_OPTION',
        `The classifier knows images of ${known}, but the model draws ${given}. Take a classifier of the same images.`,
      )
    }
    // What it is told follows from the level itself, or from a time at which its own schedule must have that level.
    const { schedule, settings } = this.process
    if (!timeLabelsOfTime.includes(settings.timeLabel)) return
    const isKnown = level.time >= schedule.cleanest && level.time <= schedule.noisiest
    const { alpha, sigma } = isKnown ? schedule.level(level.time) : { alpha: Number.NaN, sigma: Number.NaN }
    const apart = Math.max(Math.abs(alpha - level.alpha), Math.abs(sigma - level.sigma) / Math.max(1, sigma))
    if (apart <= levelTolerance) return
    const own = isKnown ? `has alpha ${alpha} and sigma ${sigma} there` : 'has no such time'
    throw new DpmError(
      'DPM_INVALID_OPTION',
      `The model draws at time ${level.time} with alpha ${level.alpha} and sigma ${level.sigma}, but the classifier's schedule "${schedule.name}" ${own}. Take a classifier that was trained on the model's schedule.`,
    )
  }

  dispose(): void {
    this.network.dispose()
  }

  [Symbol.dispose](): void {
    this.dispose()
  }
}

async function times(x: Tensor<'float32'>, factor: number): Promise<Tensor<'float32'>> {
  const values = await x.data()
  using scaled = Tensor.from(
    values.map((value) => factor * value),
    x.shape,
  )
  return scaled.to<'float32'>({ device: x.device })
}
