/** What files and folders hold that no importer reads, told by the names in them, and what to give instead. */
import { showName } from '../../show.js'
import type { TensorArchive } from '../archives/tensor-archive.js'
import { unwrapped } from './copies.js'
import type { ImportSource } from './import-source.js'

interface KnownContent {
  /** After "it holds" or "it is". */
  readonly told: string
  recognises(names: readonly string[], archive: TensorArchive): boolean
}

const some =
  (pattern: RegExp) =>
  (names: readonly string[]): boolean =>
    names.some((name) => pattern.test(name))

const optimizerState = /(?:^|\.)(?:state\.\d{1,9}|exp_avg|exp_avg_sq|momentum_buffer|square_avg|max_exp_avg_sq)(?:\.|$)/

/** The first that recognises a file tells it: what is special stands before what is general. */
const contents: readonly KnownContent[] = [
  {
    told: 'it is a checkpoint of dpm-torch already. Draw from it with `dpm-torch sample`.',
    recognises: (_, { values }) => values.get('format') === 'dpm-torch',
  },
  {
    told: 'it holds the state of an optimizer, not the weights of a network. Import the file beside it that has the model.',
    recognises: (names, { values }) =>
      names.length > 0 ? names.every((name) => optimizerState.test(name)) : values.has('param_groups.0.lr'),
  },
  {
    told: 'it holds the state of a learning rate schedule, not weights. Import the file beside it that has the model.',
    recognises: (names, { values }) => names.length === 0 && values.has('last_epoch'),
  },
  {
    told: 'it holds the state of a loss scaler, not weights. Import the file beside it that has the model.',
    recognises: (names, { values }) => names.length === 0 && values.has('growth_factor'),
  },
  {
    told: 'it holds the state of random generators, not weights. Import the file beside it that has the model.',
    recognises: (names) => names.length > 0 && names.every((name) => /random|rng|seed|manual|cuda/i.test(name)),
  },
  { told: 'it holds no tensors, so no weights.', recognises: (names) => names.length === 0 },
  {
    told: 'it holds changes to other weights (LoRA). Merge them into those in Python (`pipeline.fuse_lora()`), and save that.',
    recognises: some(/(?:^|[._])lora[._](?:A|B|up|down|linear)/i),
  },
  {
    told: 'it holds Stable Diffusion or another model that draws codes and is told a text, for which there is no network here.',
    recognises: some(/(?:^|\.)(?:first_stage_model|cond_stage_model)\.|\.transformer_blocks\.\d/),
  },
  {
    told: 'it holds an autoencoder of images, not a diffusion model.',
    recognises: (names) => some(/(?:^|\.)encoder\.conv_in\./)(names) && some(/(?:^|\.)decoder\.conv_in\./)(names),
  },
  {
    told: 'it holds the weights of an UNet2DModel of diffusers, whose settings stand in its folder. Import the folder that has its config.json, or model_index.json.',
    recognises: (names) => names.includes('conv_in.weight') && names.includes('time_embedding.linear_1.weight'),
  },
  {
    told: 'it holds a diffusion transformer (DiT), of which weights are not imported.',
    recognises: some(/(?:^|\.)x_embedder\.proj\.weight$/),
  },
  {
    told: 'it holds an encoder of text, not a diffusion model.',
    recognises: some(/(?:^|\.)text_model\.(?:embeddings|encoder)\./),
  },
]

/** What a file of weights is, where it is known, as the end of a sentence; undefined where it is not. */
export function knownContent(archive: TensorArchive): string | undefined {
  const names = [...unwrapped(archive.tensors).keys()]
  return contents.find((content) => content.recognises(names, archive))?.told
}

/** So many names are listed. */
const listed = 8

/** What is in a source that no importer reads, for people: its kind, or the names that it has. */
export async function contentText(source: ImportSource): Promise<string> {
  if (!source.isFolder) {
    const archive = await source.archive()
    const known = knownContent(archive)
    if (known !== undefined) return known
    return `it holds ${fewOf(archive.tensors.keys(), archive.tensors.size)}.`
  }
  const weights = source.names.filter((name) => /\.(?:safetensors|pt|pth|bin|ckpt)$/.test(name))
  if (source.names.length === 0) return 'it is an empty folder.'
  if (weights.length === 0) return `it is a folder without weights: ${fewOf(source.names, source.names.length)}.`
  return `it is a folder without a configuration of diffusers, and with ${fewOf(weights, weights.length)}. Import one of these files.`
}

function fewOf(names: Iterable<string>, count: number): string {
  const few: string[] = []
  for (const name of names) {
    if (few.length === listed) break
    few.push(showName(name))
  }
  return `${few.join(', ')}${count > listed ? ` and ${count - listed} more` : ''}`
}
