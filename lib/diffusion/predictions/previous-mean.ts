/**
 * The network predicts the mean of q(x_{t-1} | x_t, clean) (Ho et al. 2020, arXiv 2006.11239, §3.2, the baseline of table 2). That
 * mean is meanNoisy x_t + meanClean clean (eq. 7), so
 *
 *     clean = (F - meanNoisy x_t) / meanClean
 *
 * Before the first time is the clean image itself. Only discrete times have a previous one.
 */
import * as z from 'zod'
import { posterior } from '../posterior.js'
import { definePrediction } from '../prediction.js'
import { requireDiscrete } from '../schedule.js'

export const previousMeanPrediction = definePrediction({
  name: 'previous-mean',
  options: z.strictObject({ kind: z.literal('previous-mean') }),
  create(_, schedule) {
    const { level: levelAt, clean } = requireDiscrete(schedule, 'The prediction "previous-mean"')
    return {
      name: 'previous-mean',
      numbers(level) {
        const { meanNoisy, meanClean } = posterior(level, level.time < 1 ? clean : levelAt(level.time - 1))
        return {
          cIn: 1,
          cSkip: -meanNoisy / meanClean,
          cOut: 1 / meanClean,
          targetClean: meanClean + meanNoisy * level.alpha,
          targetNoise: meanNoisy * level.sigma,
        }
      },
    }
  },
})
