/** The density of vectors: in the columns' own units, and in the scale of the model rather than that of the data at hand. */
import { expect, test } from 'vitest'
import { dataSchema } from '../../lib/datasets/list.js'
import { createProcess, parseDiffusion } from '../../lib/diffusion/diffusion-options.js'
import { analyticDenoiser } from '../../lib/evaluation/analytic/analytic-data.js'
import { gaussian } from '../../lib/evaluation/analytic/gaussian.js'
import { Vectors } from '../../lib/generation/vectors.js'
import { evaluateLikelihood, openDataSet } from '../../lib/index.js'

test('a normal in units of its own has the density of that normal, whatever part of the data is asked about', async () => {
  const { schedule } = createProcess(parseDiffusion({ schedule: 'vp-sde', timeLabel: 'thousandths' }))
  const modes = [{ mean: [50, -1], deviation: 3 }]
  const points = { kind: 'points', law: 'mixture', modes, count: 40, split: 'test' }
  const dataSet = await openDataSet(dataSchema.parse(points))
  // A model that was trained on infinitely many points.
  const columns = { names: ['x', 'y'], means: [50, -1], deviations: [3, 3] }
  const model = {
    denoiser: analyticDenoiser(gaussian({ mean: 0, deviation: 1 }), schedule),
    variance: 'fixed-small',
    columns,
  } as const
  const method = { kind: 'ode', trace: 'exact', tolerance: 1e-9 } as const
  const { each, details } = await evaluateLikelihood(model, dataSet, { method, images: 40 })
  const { data } = await Vectors.first(dataSet, 40)
  for (const { example, bitsPerDimension } of each) {
    const squares = [50, -1].reduce((sum, mean, i) => sum + (((data[2 * example + i] ?? 0) - mean) / 3) ** 2, 0)
    const exact = (squares / 2 + Math.log(2 * Math.PI * 9)) / Math.LN2 / 2
    expect(Math.abs(bitsPerDimension - exact)).toBeLessThan(2e-4)
  }
  expect(details).toMatchObject({ offset: expect.closeTo(Math.log2(3), 12) })
})
