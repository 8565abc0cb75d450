/** Every weighting of the training loss, by kind: the formulas, and what is learned on top of one of them. */
import type { WeightingDefinition } from '../weighting.js'
import { formulas } from './formulas.js'
import { uncertainty } from './uncertainty.js'

export const weightings = { ...formulas, uncertainty } satisfies Record<string, WeightingDefinition>
