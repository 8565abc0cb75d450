/** How many samples a run has, how many of them the network sees at once. */
import type { ImageShape } from '../datasets/data-set.js'
import { DpmError, expected } from '../errors.js'
import type { GenerateOptions } from './generate.js'

const largestChunk = 64
/** Of small examples, such as points, more at a time: so many elements. */
const elementsAtOnce = 4096

/** Images per call of the network. */
export function chunkOf(image: ImageShape, options: GenerateOptions): number {
  const elements = image.channels * image.height * image.width
  const usual = Math.max(largestChunk, Math.floor(elementsAtOnce / elements))
  return options.chunk ?? Math.min(countOf(options), usual)
}

/** How many images are drawn. @throws DpmError DPM_INVALID_OPTION for numbers that no run has. */
export function countOf({ count: asked, samples, first = 0 }: GenerateOptions): number {
  const count = asked ?? samples?.length ?? 16
  if (samples && (samples.length !== count || count === 0)) {
    throw expected(`${count} noise keys`, 'samples', samples.length, '', 'DPM_INVALID_OPTION')
  }
  if (samples && first > 0) {
    throw new DpmError('DPM_INVALID_OPTION', '`samples` and `first` both say which images are drawn. Give one of them.')
  }
  // Noise keys have 32 bits.
  if (first + count <= 2 ** 32) return count
  throw expected(
    `at most ${2 ** 32} images, numbered from 0`,
    first === 0 ? 'count' : 'first + count',
    first + count,
    '',
    'DPM_INVALID_OPTION',
  )
}
