/**
 * From T - 1 downwards in strides of T / count, rounded (Lin et al. 2023, arXiv 2305.08891, table 2, "trailing"): the first
 * step starts where there is no signal.
 */
import { roundHalfToEven, type Spacing } from './spacing.js'

export const trailingSpacing: Spacing = (total, count) =>
  Array.from({ length: count }, (_, i) => roundHalfToEven(total - (i * total) / count) - 1)
