/** Time i is i · floor(T / count), from 0: a whole stride, so the noisiest times may be left out (diffusers "leading"). */
import { descending, type Spacing } from './spacing.js'

export const leadingSpacing: Spacing = (total, count) => descending(count, (i) => i * Math.floor(total / count))
