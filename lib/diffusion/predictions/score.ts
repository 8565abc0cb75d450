/**
 * The network predicts the score, the gradient of ln p(x_t) (Song and Ermon 2019, arXiv 1907.05600): trained on single images it
 * is -noise / sigma, so
 *
 *     clean = (x_t + sigma² F) / alpha
 *
 * `scaled`: the network gives sigma times the score, which has one size at every level: NCSNv2 (arXiv 2006.09011, technique 3)
 * divides its output by sigma, and so does score-SDE.
 */
import * as z from 'zod'
import { definePrediction } from '../prediction.js'
import { requireSignalFor, withSignal } from './noise.js'

export const scorePrediction = definePrediction({
  name: 'score',
  options: z.strictObject({
    kind: z.literal('score'),
    scaled: z.boolean().default(false).describe('the network gives sigma times the score (NCSNv2)'),
  }),
  create({ scaled }, schedule) {
    requireSignalFor('score', schedule)
    return {
      name: 'score',
      numbers(level) {
        const { alpha, sigma } = withSignal('score', level)
        // The score is unit · F.
        const unit = scaled ? 1 / sigma : 1
        return {
          cIn: 1,
          cSkip: 1 / alpha,
          cOut: (sigma * sigma * unit) / alpha,
          targetClean: 0,
          targetNoise: -1 / (sigma * unit),
        }
      },
    }
  },
})
