/** Makes a checkpoint of our own from a model of another program: read its settings, hold its tensors to them, convert. */
import { basename } from 'node:path'
import * as z from 'zod'
import { diffusionSchema } from '../../diffusion/diffusion-options.js'
import { isLearned } from '../../diffusion/posterior.js'
import { DpmError, expected, throwIfAborted } from '../../errors.js'
import { requireNoOtherEnding } from '../../files/name-endings.js'
import { OutputPlaces } from '../../files/output-places.js'
import { precisions } from '../../native/device.js'
import { knownClasses, networkSchema } from '../../networks/list.js'
import { Network, type Parameter, sizeOf } from '../../networks/network.js'
import { type Assignment, assign } from '../../options/assign.js'
import { parseOptions } from '../../options/options.js'
import { samplingSchema } from '../../sampling/sampling-defaults.js'
import { toFloat32 } from '../archives/float-values.js'
import type { Weights } from '../archives/tensor-archive.js'
import { type CheckpointTensor, classesSchema, imageSchema, writeCheckpointTo } from '../checkpoint.js'
import type { JsonObject } from '../migrations.js'
import type { ImportDefinition, ImportedModel } from './define-import.js'
import { ImportSource } from './import-source.js'
import { contentText } from './known-contents.js'
import { importers } from './list.js'
import { requireMatch } from './mismatch.js'
import { NonFiniteWeights } from './non-finite-weights.js'
import type { Values } from './pieces.js'

export interface ImportOptions {
  /** The checkpoint file to write. */
  readonly out: string
  /** Which importer; the first that recognises the source when absent. */
  readonly format?: string
  /** Choices that the source leaves open, and changes to the settings that were read from it (`network.…`, `diffusion.…`). */
  readonly set?: readonly Assignment[]
  readonly signal?: AbortSignal | undefined
  /** Whether weights that are NaN or infinite may be imported; they may not when absent. */
  readonly allowNonFinite?: boolean
}

export interface ImportReport {
  readonly path: string
  readonly format: string
  readonly settings: z.output<typeof modelSchema>
  /** Trainable numbers of the network. */
  readonly size: number
  /** `network`, `average.0`, …: the copies of the weights that the checkpoint holds. */
  readonly copies: readonly string[]
  /** What is a little different here than in the program that the model is from. */
  readonly notes: readonly string[]
}

/** The settings of a model, of which `Diffusion.load` makes one. */
const modelSchema = z.strictObject({
  network: networkSchema,
  diffusion: diffusionSchema,
  condition: z.record(z.string(), z.json()).default({ kind: 'none' }),
  sampling: samplingSchema.prefault({}),
  precision: z.enum(precisions).default('float32'),
  image: imageSchema,
  classes: classesSchema.default([]),
  step: z.int().min(0).default(0),
})

const modelParts = Object.keys(modelSchema.shape)

/**
 * Writes a source's model as a checkpoint, whole or not at all.
 * @throws DpmError DPM_FILE_MISSING, DPM_FILE_INVALID (the tensors and names that do not fit), DPM_INVALID_OPTION for a
 * choice that is missing or wrong, DPM_NON_FINITE for weights that are NaN or infinite, DPM_WRITE_FAILED, DPM_ABORTED
 */
export async function importCheckpoint(sourcePath: string, options: ImportOptions): Promise<ImportReport> {
  await using source = await ImportSource.open(sourcePath)
  requireNoOtherEnding(options.out, 'out', ['.safetensors'])
  await using _ = await OutputPlaces.open(
    [{ name: 'out', path: options.out, kind: 'file' }],
    [{ name: 'the source', path: sourcePath, kind: 'folder' }],
  )
  const { signal } = options
  throwIfAborted(signal, 'The import')
  const importer = await importerOf(source, options.format)
  const isModel = ({ path }: Assignment): boolean => modelParts.includes(path[0] ?? '')
  const set = options.set ?? []
  const choices = assign(
    {},
    set.filter((one) => !isModel(one)),
  )
  const model = await importer.read(
    source,
    parseOptions(importer.schema, choices, `import of ${importer.name}`) as never,
  )
  throwIfAborted(signal, 'The import')
  const settings = parseOptions(modelSchema, assign(partsOf(model), set.filter(isModel)), sourcePath)
  const { parameters, size } = await parametersOf(settings)
  const copies = copiesOf(model)
  for (const { weights, about } of copies) requireMatch(weights, parameters, model, `${about} of ${sourcePath}`)

  const nonFinite = new NonFiniteWeights()
  const tensors = copies.flatMap(({ prefix, weights }) =>
    parameters.map((parameter) => convertedTensor(`${prefix}.${parameter.name}`, parameter, model, weights, nonFinite)),
  )
  let unread = tensors.length
  const { image, classes, step, ...stored } = settings
  const content = {
    settings: {
      name: basename(sourcePath),
      ...(stored as JsonObject),
      imported: { format: importer.name, source: basename(sourcePath), copies: copies.map(({ about }) => about) },
    },
    progress: { step },
    classes,
    image,
    tensors: tensors.map((tensor) => ({
      ...tensor,
      async read() {
        const bytes = await tensor.read()
        unread--
        // Told of all of them at the end, when nothing has its name yet.
        if (unread === 0 && !nonFinite.isEmpty && !options.allowNonFinite) throw nonFinite.error(sourcePath)
        return bytes
      },
    })),
  }
  await writeCheckpointTo(options.out, content, signal)
  return {
    path: options.out,
    format: importer.name,
    settings,
    size,
    copies: copies.map(({ prefix }) => prefix),
    notes: [...(model.notes ?? []), ...(nonFinite.isEmpty ? [] : [`${nonFinite.text}.`])],
  }
}

async function importerOf(source: ImportSource, format: string | undefined): Promise<ImportDefinition> {
  const known = importers as Readonly<Record<string, ImportDefinition>>
  if (format !== undefined) {
    const named = Object.hasOwn(known, format) ? known[format] : undefined
    if (named) return named
    throw expected(`one of ${Object.keys(known).join(', ')}`, 'format', format, '', 'DPM_INVALID_OPTION')
  }
  for (const importer of Object.values(known)) if (await importer.recognises(source)) return importer
  throw new DpmError(
    'DPM_FILE_INVALID',
    `${JSON.stringify(source.path)} is in none of the formats that can be told by looking: ${await contentText(source)} The formats are ` +
      `${Object.keys(known).join(', ')}. See what it holds with \`dpm-torch inspect\`, and say which it is with \`--format\`.`,
    { details: { path: source.path } },
  )
}

/** Without those that are absent: an undefined option is not one with its default. */
function partsOf(model: ImportedModel): Readonly<Record<string, unknown>> {
  const parts = Object.entries(model).filter(([name, value]) => modelParts.includes(name) && value !== undefined)
  return Object.fromEntries(parts)
}

async function parametersOf({
  network: settings,
  diffusion,
  image,
  classes,
}: z.output<typeof modelSchema>): Promise<{ readonly parameters: readonly Parameter[]; readonly size: number }> {
  const { kind, ...options } = settings
  // Described, not built: shapes of a file could ask for any memory.
  const parameters = await Network.describe(kind, options, {
    image,
    classes: knownClasses(settings, classes).length,
    outputs: isLearned(diffusion.variance) ? 2 : 1,
  })
  return { parameters, size: sizeOf(parameters) }
}

interface Copy {
  readonly prefix: string
  readonly weights: Weights
  readonly about: string
}

function copiesOf({ trained, averages = [] }: ImportedModel): Copy[] {
  const averaged = averages.map((weights, index): Copy => {
    return {
      prefix: `average.${index}`,
      weights,
      about: `The averaged weights${averages.length > 1 ? ` (${index})` : ''}`,
    }
  })
  if (trained) return [{ prefix: 'network', weights: trained, about: 'The weights' }, ...averaged]
  const [first, ...others] = averaged
  if (!first) throw new DpmError('DPM_INTERNAL', 'The importer gave no weights.')
  return [{ ...first, prefix: 'network' }, ...others.map((copy, index) => ({ ...copy, prefix: `average.${index}` }))]
}

function convertedTensor(
  name: string,
  parameter: Parameter,
  model: ImportedModel,
  weights: Weights,
  nonFinite: NonFiniteWeights,
): CheckpointTensor {
  const read = async (source: string): Promise<Values> => {
    const tensor = weights.get(source)
    if (!tensor) throw new DpmError('DPM_INTERNAL', `${source} was there when it was looked for.`)
    return { shape: tensor.shape, data: toFloat32(tensor.dtype, await tensor.read()) }
  }
  return {
    name,
    dtype: 'float32',
    shape: parameter.shape,
    async read() {
      const { data } = await model.piece(parameter).valuesOf(read)
      nonFinite.look(name, data)
      return new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    },
  }
}
