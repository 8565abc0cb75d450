/** Weightings that are formulas of the level, by kind. A new one is a file beside this one and a line here. */
import type { WeightingDefinition } from '../weighting.js'
import { denoisingScoreMatching } from './denoising-score-matching.js'
import { edmWeighting } from './edm.js'
import { flowWeighting } from './flow.js'
import { likelihoodWeighting } from './likelihood.js'
import { minSnr } from './min-snr.js'
import { p2 } from './p2.js'
import { snr } from './snr.js'
import { truncatedSnr } from './truncated-snr.js'
import { uniform } from './uniform.js'
import { velocityWeighting } from './velocity.js'
import { vlb } from './vlb.js'

export const formulas = {
  uniform,
  snr,
  'truncated-snr': truncatedSnr,
  'min-snr': minSnr,
  p2,
  velocity: velocityWeighting,
  flow: flowWeighting,
  edm: edmWeighting,
  vlb,
  likelihood: likelihoodWeighting,
  'denoising-score-matching': denoisingScoreMatching,
} satisfies Record<string, WeightingDefinition>
