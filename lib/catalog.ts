/** THE list: everything that has a name. A new schedule, sampler, data set or network is one file and one line in its map. */
import { exporters } from './checkpoints/export/list.js'
import { importers } from './checkpoints/import/list.js'
import { datasets } from './datasets/list.js'
import { bounds } from './diffusion/bounds/list.js'
import { couplings } from './diffusion/coupling.js'
import { clips } from './diffusion/diffusion-options.js'
import { guidances } from './diffusion/guidance/list.js'
import { losses } from './diffusion/loss.js'
import { learnedLogVariances, variances } from './diffusion/posterior.js'
import { predictions } from './diffusion/predictions/list.js'
import { schedules } from './diffusion/schedules/list.js'
import { timeLabels } from './diffusion/time-label.js'
import { timeSamplers } from './diffusion/times/list.js'
import { weightings } from './diffusion/weightings/list.js'
import { likelihoods } from './evaluation/likelihood.js'
import { conditions } from './generation/conditions/list.js'
import { guides } from './generation/guides/list.js'
import { networks } from './networks/list.js'
import { samplers } from './sampling/samplers.js'
import { spacings } from './sampling/spacings/list.js'

export const catalog = {
  bounds,
  clips,
  conditions,
  couplings,
  datasets,
  exporters,
  guidances,
  guides,
  importers,
  likelihoods,
  losses,
  networks,
  predictions,
  samplers,
  schedules,
  spacings,
  timeLabels,
  timeSamplers,
  variances: { ...variances, ...learnedLogVariances },
  weightings,
} as const
