/** Every weighting of the training loss, by kind. */
import type { WeightingDefinition } from '../weighting.js'
import { minSnr } from './min-snr.js'
import { snr } from './snr.js'
import { uniform } from './uniform.js'

export const weightings = { uniform, snr, 'min-snr': minSnr } satisfies Record<string, WeightingDefinition>
