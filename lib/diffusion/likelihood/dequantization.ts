/**
 * How an 8-bit value k becomes the real number at which a density is taken. A bound on log P(k) needs a draw u that fills
 * the bin of k evenly (Theis et al. 2015, arXiv 1511.01844, eq. 2): E log p(x(k, u)) + log binWidth ≤ log P(k).
 */

export interface Dequantization {
  /** Whether the value depends on u, so that more draws say more. */
  readonly isRandom: boolean
  /** @param value 0 … 255. @param u in (0, 1). */
  place(value: number, u: number): number
  /** Width of the bin of one value. */
  readonly binWidth: number
}

/**
 * `uniform`: (k + u) / 128 - 1, the 256 bins fill [-1, 1]: score SDE's, and its offset of 7 bits.
 * `centered`: bins of 2/255 about k / 127.5 - 1, the numbers that networks here are trained on.
 * `none`: k / 127.5 - 1 itself, a density times the bin's width and no bound: comparable with nothing but itself.
 */
export const dequantizations = {
  uniform: { isRandom: true, place: (value, u) => (value + u) / 128 - 1, binWidth: 2 / 256 },
  centered: { isRandom: true, place: (value, u) => (value + u - 0.5) / 127.5 - 1, binWidth: 2 / 255 },
  none: { isRandom: false, place: (value) => value / 127.5 - 1, binWidth: 2 / 255 },
} as const satisfies Record<string, Dequantization>

export type DequantizationKind = keyof typeof dequantizations
export const dequantizationKinds = Object.keys(dequantizations) as [DequantizationKind, ...DequantizationKind[]]
