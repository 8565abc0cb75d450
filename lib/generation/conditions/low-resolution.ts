/**
 * Super-resolution: the network sees the image at a lower resolution, made large again, as further channels beside x (SR3:
 * Saharia et al. 2021, arXiv 2104.07636, §2.1; Nichol and Dhariwal 2021, arXiv 2102.09672, §5, whose code takes means of
 * squares for the small image and enlarges it bilinearly).
 */
import { setImmediate } from 'node:timers/promises'
import * as z from 'zod'
import type { ImageShape } from '../../datasets/data-set.js'
import { DpmError, expected } from '../../errors.js'
import { enlarge, enlargements } from '../../images/enlarge.js'
import type { Images } from '../../images/image-batch.js'
import { shrink } from '../../images/shrink.js'
import { Tensor } from '../../tensor/tensor.js'
import { defineCondition } from './condition.js'

const kinds = Object.keys(enlargements) as [keyof typeof enlargements, ...(keyof typeof enlargements)[]]

/** Values made between two turns of the event loop: about 5 ms of work. */
const valuesAtOnce = 2 ** 18

export const lowResolution = defineCondition({
  name: 'low-resolution',
  options: z.strictObject({
    kind: z.literal('low-resolution'),
    factor: z.int().min(2).max(64).default(4).describe('how many times smaller the image is that the network sees'),
    enlarge: z.enum(kinds).default('bilinear').describe('how it is made as large as x'),
  }),
  create({ factor, enlarge: kind }, image) {
    const { channels, height, width } = image
    if (height % factor !== 0 || width % factor !== 0) {
      throw new DpmError(
        'DPM_INVALID_OPTION',
        `Expected a \`condition.factor\` that divides the images' ${height}×${width} but received ${factor}. Use another factor, or resize the images.`,
      )
    }
    const picture: ImageShape = { channels, height: height / factor, width: width / factor }
    const size = channels * height * width
    const seen = (small: ArrayLike<number>): Float32Array =>
      enlarge(
        Float64Array.from(small, (byte) => byte / 127.5 - 1),
        picture,
        factor,
        kind,
      )
    return {
      name: 'low-resolution',
      channels,
      picture,
      async ofImages(images, count) {
        const values = new Float32Array(count * size)
        let made = 0
        for (let n = 0; n < count; n++) {
          values.set(seen(shrink(images.subarray(n * size, (n + 1) * size), image, factor)), n * size)
          made += size
          if (made < valuesAtOnce) continue
          made = 0
          await setImmediate()
        }
        return values
      },
      ofPictures(pictures, count) {
        const given = pictures.length
        if (given !== 1 && given !== count) throw expected(`1 picture, or ${count}`, 'lowResolution', given)
        const isSmall = sameShape(pictures, picture)
        if (!isSmall && !sameShape(pictures, image)) {
          throw expected(
            `pictures of ${textOf(picture)}, or of ${textOf(image)} to be made smaller first (channels, height, width)`,
            'lowResolution',
            pictures.shape.slice(1).join('×'),
          )
        }
        const values = new Float32Array(count * size)
        for (let n = 0; n < count; n++) {
          const one = pictures.at(given === 1 ? 0 : n).data
          values.set(
            given === 1 && n > 0 ? values.subarray(0, size) : seen(isSmall ? one : shrink(one, image, factor)),
            n * size,
          )
        }
        return Tensor.from(values, [count, channels, height, width])
      },
    }
  },
})

function textOf({ channels, height, width }: ImageShape): string {
  return [channels, height, width].join('×')
}

function sameShape({ shape: [, channels, height, width] }: Images, wanted: ImageShape): boolean {
  return channels === wanted.channels && height === wanted.height && width === wanted.width
}
