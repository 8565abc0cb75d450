/**
 * The weights in a folder of diffusers: one file, or an index of several; plain, or of a variant (`fp16`, `non_ema`), whose name
 * then stands before the ending.
 *
 * Reference: diffusers, utils/hub_utils.py (`_add_variant`), models/modeling_utils.py (`from_pretrained`, `save_pretrained`).
 */
import * as z from 'zod'
import { DpmError } from '../../errors.js'
import { parseOptions } from '../../options/options.js'
import { showName } from '../../show.js'
import type { ArchiveTensor, Weights } from '../archives/tensor-archive.js'
import { findCopies, type NetworkNames } from './copies.js'
import type { ImportSource } from './import-source.js'

/** In the order in which diffusers looks; those of accelerate's own saving last. */
const stems = ['diffusion_pytorch_model', 'model', 'pytorch_model'] as const
const endings = ['safetensors', 'bin'] as const

const indexSchema = z.looseObject({ weight_map: z.record(z.string(), z.string()) })

const names: NetworkNames = {
  anchor: /(?:^|\.)conv_in\.weight$/,
  isNetwork: (weights) => weights.has('time_embedding.linear_1.weight') || weights.has('conv_out.weight'),
}

export interface DiffusersChoice {
  readonly variant?: string | undefined
  /** See `copyOption`. */
  readonly weights?: string | undefined
}

export interface DiffusersWeights {
  readonly weights: Weights
  readonly notes: readonly string[]
}

interface WeightFile {
  readonly name: string
  readonly isIndex: boolean
  /** Empty for the plain one. */
  readonly variant: string
}

/**
 * @param place the folder in the source, with a slash behind it; empty for the source itself
 * @throws DpmError DPM_FILE_MISSING naming what was looked for and what is there, DPM_INVALID_OPTION where several variants are
 *   there and none was chosen, DPM_FILE_INVALID
 */
export async function diffusersWeights(
  source: ImportSource,
  place: string,
  choice: DiffusersChoice,
): Promise<DiffusersWeights> {
  const there = await source.filesIn(place)
  const file = fileOf(there, choice.variant, `${source.path}/${place}`)
  const tensors = file.isIndex
    ? await shards(source, place, file.name)
    : (await source.archive(`${place}${file.name}`)).tensors
  const found = findCopies(
    { path: `${source.path}/${place}${file.name}`, tensors, values: new Map() },
    names,
    choice.weights,
  )
  // What has none of the names is told of by name, tensor for tensor.
  const weights = found?.trained ?? found?.averages[0] ?? tensors
  const isChosen = file.variant !== '' && choice.variant === undefined
  return {
    weights,
    notes: [
      ...(isChosen
        ? [`The weights are those of the variant "${file.variant}", the only ones in ${place || 'the folder'}.`]
        : []),
      ...(found?.notes ?? []),
    ],
  }
}

function fileOf(there: readonly string[], variant: string | undefined, folder: string): WeightFile {
  const files = stems.flatMap((stem) =>
    endings.flatMap((ending) => there.flatMap((name) => parseName(name, stem, ending) ?? [])),
  )
  const wanted = files.find((file) => file.variant === (variant ?? ''))
  if (wanted) return wanted
  const variants = [...new Set(files.map((file) => file.variant).filter((one) => one !== ''))]
  if (variant === undefined && variants.length === 1 && files[0]) return files[0]
  if (variants.length > 0) {
    const text = variants.map(showName).join(', ')
    throw new DpmError(
      'DPM_INVALID_OPTION',
      variant === undefined
        ? `${JSON.stringify(folder)} has weights of the variants ${text}, and none without one. Say which with \`--set variant=…\`.`
        : `Expected one of ${text} for \`variant\` but received ${JSON.stringify(variant)}: the variants of the weights in ${JSON.stringify(folder)}.`,
      { details: { path: folder, options: ['variant'], variants } },
    )
  }
  const plain = endings.flatMap((ending) => [`${stems[0]}.${ending}`, `${stems[0]}.${ending}.index.json`])
  if (variant !== undefined && files.length > 0) {
    throw new DpmError(
      'DPM_INVALID_OPTION',
      `${JSON.stringify(folder)} has no weights of the variant ${JSON.stringify(variant)}, only ${files.map(({ name }) => name).join(', ')}. Leave \`variant\` out.`,
      { details: { path: folder, options: ['variant'] } },
    )
  }
  const others = there.filter((name) => /\.(?:safetensors|bin|pt|pth|ckpt|msgpack|onnx)$/.test(name)).map(showName)
  throw new DpmError(
    'DPM_FILE_MISSING',
    `There are no weights in ${JSON.stringify(folder)}: none of ${plain.join(', ')}.` +
      (others.length > 0 ? ` It has ${others.slice(0, 8).join(', ')}${others.length > 8 ? ', …' : ''}.` : ''),
    { details: { path: folder } },
  )
}

/**
 * `STEM.safetensors`, `STEM.fp16.safetensors`, and their indices: `STEM.safetensors.index.json`,
 * `STEM.safetensors.index.fp16.json`, of some releases `STEM.fp16.safetensors.index.json`.
 */
function parseName(name: string, stem: string, ending: string): WeightFile | undefined {
  if (!name.startsWith(`${stem}.`)) return undefined
  const parts = name.slice(stem.length + 1).split('.')
  const isIndex = parts.at(-1) === 'json' && parts.includes('index')
  const known = isIndex ? [ending, 'index', 'json'] : [ending]
  const variant = parts.filter((part) => !known.includes(part))
  if (variant.length > 1 || parts.length !== known.length + variant.length || !parts.includes(ending)) return undefined
  if (!isIndex && parts.at(-1) !== ending) return undefined
  return { name, isIndex, variant: variant[0] ?? '' }
}

async function shards(
  source: ImportSource,
  place: string,
  indexName: string,
): Promise<ReadonlyMap<string, ArchiveTensor>> {
  const index = await source.json(`${place}${indexName}`)
  const files = parseOptions(indexSchema, index, `${source.path}/${place}${indexName}`).weight_map
  const found = new Map<string, ArchiveTensor>()
  for (const [name, file] of Object.entries(files)) {
    const archive = await source.archive(`${place}${file}`)
    const tensor = archive.tensors.get(name)
    if (!tensor) {
      throw new DpmError(
        'DPM_FILE_INVALID',
        `The index of ${JSON.stringify(source.path)} says that ${showName(name)} is in ${showName(file)}, which has none.`,
        { details: { path: archive.path, name } },
      )
    }
    found.set(name, tensor)
  }
  return found
}
