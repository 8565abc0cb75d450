/** What the images of `dpm-torch sample` depend on, to go on behind those that are there. */
import type { Diffusion } from '../generation/diffusion.js'
import { type DrawingRecord, recordOf } from '../generation/drawing-record.js'
import type { GenerateOptions } from '../generation/generate.js'
import type { EditFlags } from './sample-edits.js'

/** What does not change an image, or is no value: pictures and models count by their files. */
const leftOut = [
  'count',
  'first',
  'chunk',
  'signal',
  'samples',
  'image',
  'inpaint',
  'initial',
  'lowResolution',
  'guides',
  'weaker',
]

export async function recordOfRun(
  checkpoint: string,
  model: Diffusion,
  options: GenerateOptions,
  flags: EditFlags & { readonly weights?: string },
): Promise<DrawingRecord> {
  const { image, known, mask, lowResolution, weaker, classifier, between } = flags
  const models = { model: checkpoint, weaker: await fileOf(weaker), classifier: await fileOf(classifier) }
  const named = Object.entries({ ...models, image, known, mask, lowResolution })
  const files = Object.fromEntries(named.filter((entry): entry is [string, string] => entry[1] !== undefined))
  const values = Object.entries(options).filter(([name]) => !leftOut.includes(name))
  return recordOf(files, {
    ...Object.fromEntries(values),
    steps: model.stepsOf(options),
    weights: flags.weights ?? 'default',
    precision: model.source.precision,
    strength: image === undefined ? undefined : flags.strength,
    classifierScale: classifier === undefined ? undefined : flags.classifierScale,
    // Where an image lies between two depends on how many there are.
    between: between === undefined ? undefined : `${between}: ${options.first ?? 0} to ${options.count}`,
  })
}

async function fileOf(run: string | undefined): Promise<string | undefined> {
  if (run === undefined) return undefined
  const { readCheckpoint } = await import('../checkpoints/checkpoint-folder.js')
  await using checkpoint = await readCheckpoint(run)
  return checkpoint.path
}
