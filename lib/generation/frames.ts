/** How images come out of noise: the states of a sampling run, as many as an animation needs. */
import { Images } from '../images/image-batch.js'
import type { Tensor } from '../tensor/tensor.js'
import type { Diffusion } from './diffusion.js'
import type { GenerateOptions } from './generate.js'

export interface Frames {
  /** The images that the run ends with: those of `Diffusion.sample` with the same options. */
  readonly images: Images
  /** States before them, the noisiest first. */
  readonly frames: readonly Images[]
}

/** @param options.frames states that are kept at most, evenly spread; 40 when absent. */
export async function drawFrames(
  model: Diffusion,
  generate: GenerateOptions,
  options: {
    readonly frames?: number
    /** The state of the run, or the clean images that the network predicts from it (progressive decoding). */
    readonly show?: 'x' | 'clean'
    readonly onStep?: (step: number) => void
  } = {},
): Promise<Frames> {
  const { frames: most = 40, show = 'x', onStep } = options
  const steps = model.sampleSteps(generate)
  const frames: Images[] = []
  for (;;) {
    const next = await steps.next()
    if (next.done) return { images: next.value, frames }
    const { step, steps: total } = next.value
    using x = next.value.x
    using clean = next.value.clean
    if (step < total && step % Math.ceil(total / most) === 0) frames.push(await imagesOf({ x, clean }[show]))
    onStep?.(step)
  }
}

async function imagesOf(x: Tensor<'float32'>): Promise<Images> {
  const [count = 0, channels = 0, height = 0, width = 0] = x.shape
  return Images.fromFloats(await x.data(), [count, channels, height, width])
}
