/** Layers of any size, with numbers drawn for them. */
import { drawn, type LayerCase } from './layer-alone.js'

export function convolution(
  [count, channels, height, width]: readonly [number, number, number, number],
  outputs: number,
  { kernel = 3, dilation = 1, biased = true } = {},
): LayerCase {
  const weight = drawn([outputs, channels, kernel, kernel], 2, 1 / (kernel * Math.sqrt(channels)))
  return {
    layer: 'convolution',
    inputs: [drawn([count, channels, height, width], 1), weight, biased ? drawn([outputs], 3) : null],
    byOutput: drawn([count, outputs, height, width], 4),
    settings: { dilation },
  }
}

export function norm(
  [count, channels, height, width]: readonly [number, number, number, number],
  groups: number,
  { offset = false, scaled = false, mean = 0 } = {},
): LayerCase {
  const rows = (key: number) => drawn([count, channels], key, 0.7)
  return {
    layer: 'group-norm-silu',
    inputs: [
      drawn([count, channels, height, width], 5, 1.5, mean),
      drawn([channels], 6, 0.3, 1),
      drawn([channels], 7),
      offset ? rows(8) : null,
      scaled ? rows(9) : null,
      scaled ? rows(10) : null,
    ],
    byOutput: drawn([count, channels, height, width], 11),
    settings: { groups, epsilon: 1e-5 },
  }
}

export function attention(
  count: number,
  positions: number,
  heads: number,
  width: number,
  interleaved = false,
): LayerCase {
  return {
    layer: 'attention',
    inputs: [drawn([count, positions, 3 * heads * width], 12)],
    byOutput: drawn([count, positions, heads * width], 13),
    settings: { heads, interleaved },
  }
}
