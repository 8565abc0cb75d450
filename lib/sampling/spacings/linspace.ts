/** From 0 to T - 1, both included, evenly and rounded (improved DDPM's respacing by a number; diffusers "linspace"). */
import { descending, roundHalfToEven, type Spacing } from './spacing.js'

export const linspaceSpacing: Spacing = (total, count) =>
  descending(count, (i) => roundHalfToEven((i * (total - 1)) / (count - 1)))
