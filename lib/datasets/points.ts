/** Points of a plane or a line from the laws that toy examples use: as many as asked, each a function of the seed. */
import { setImmediate as turn } from 'node:timers/promises'
import * as z from 'zod'
import { DpmError, throwIfAborted } from '../errors.js'
import { normals } from '../random/philox.js'
import { uniforms } from '../random/uniforms.js'
import { defineDataSet } from './define-data-set.js'
import { mixtureLaw, type PointLaw, type PointLawName, pointLaws } from './point-laws.js'
import { vectorDataSet } from './vectors.js'

const laws = Object.keys(pointLaws) as [PointLawName, ...PointLawName[]]

const pointsSchema = z.strictObject({
  kind: z.literal('points'),
  law: z
    .enum([...laws, 'mixture'])
    .default('8-gaussians')
    .describe('where the points are'),
  count: z.int().min(1).max(10_000_000).default(20_000).describe('how many'),
  split: z.enum(['train', 'test']).default('train').describe('points to train on, or as many others to test with'),
  noise: z.number().min(0).default(1).describe("factor on the law's own blur"),
  modes: z
    .array(
      z.strictObject({
        weight: z.number().positive().default(1).describe('how often'),
        mean: z.union([z.number(), z.tuple([z.number(), z.number()])]).describe('a number, or two in the plane'),
        deviation: z.number().positive().default(1).describe('in every direction'),
      }),
    )
    .min(1)
    .max(256)
    .default([
      { weight: 1, mean: -2, deviation: 0.5 },
      { weight: 2, mean: 1, deviation: 0.3 },
    ])
    .describe('normals of the law "mixture"'),
  seed: z.int().min(0).max(Number.MAX_SAFE_INTEGER).default(0).describe('the points are a function of it'),
})

type PointsSettings = z.output<typeof pointsSchema>

/** Points between two turns of the event loop. */
const pointsAtOnce = 4096
/** Keys of test points begin here: no count reaches it. */
const firstTestKey = 2 ** 31

export const points = defineDataSet({
  name: 'points',
  options: pointsSchema,
  async open(settings, { signal, progress }) {
    const { count, seed, split, noise } = settings
    const law = lawOf(settings)
    const width = law.columns.length
    const rows = new Float64Array(count * width)
    const labels = new Uint8Array(count)
    for (let i = 0; i < count; i++) {
      const key = i + (split === 'test' ? firstTestKey : 0)
      const { at, label = 0 } = law.draw(uniforms(seed, 'data', 0, key, 4), normals(seed, 'data', 1, key, 2), noise)
      rows.set(at, i * width)
      labels[i] = label
      if ((i + 1) % pointsAtOnce !== 0) continue
      progress?.(i + 1, count)
      await turn()
      throwIfAborted(signal, 'Drawing points')
    }
    progress?.(count, count)
    const { columns, classes } = law
    return vectorDataSet({ name: 'points', columns, rows, labels: classes.length > 0 ? labels : null, classes })
  },
})

function lawOf({ law, modes }: PointsSettings): PointLaw {
  if (law !== 'mixture') return pointLaws[law]
  const dimensions = new Set(modes.map(({ mean }) => (typeof mean === 'number' ? 1 : mean.length)))
  if (dimensions.size === 1) return mixtureLaw(modes)
  throw new DpmError(
    'DPM_INVALID_OPTION',
    'Some of `modes` have a number for `mean` and some have two. Give all of them one, or all of them two.',
  )
}
