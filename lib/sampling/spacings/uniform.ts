/** Time i is floor(i · T / count), from 0 (Song et al. 2021, arXiv 2010.02502, appendix D.2, "linear"). */
import { descending, type Spacing } from './spacing.js'

export const uniformSpacing: Spacing = (total, count) => descending(count, (i) => Math.floor((i * total) / count))
