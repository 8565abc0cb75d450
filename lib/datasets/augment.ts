/** Horizontal flips: whether an example is flipped in an epoch is a function of the seed, not of what was read before. */
import { uniform } from '../random/philox.js'
import type { ExampleValues, ImageShape } from './data-set.js'

/** True for half of all (epoch, example). */
export function flipped(seed: number, epoch: number, example: number): boolean {
  return uniform(seed, 'flip', epoch, example) < 0.5
}

/** Mirrors one C×H×W image left to right, in place. */
export function flipImage(image: ExampleValues, { channels, height, width }: ImageShape): void {
  for (let row = 0; row < channels * height; row++) {
    for (let left = row * width, right = left + width - 1; left < right; left++, right--) {
      const value = image[left] ?? 0
      image[left] = image[right] ?? 0
      image[right] = value
    }
  }
}
