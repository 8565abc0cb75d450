/**
 * A checkpoint: everything that a run is at one step, in one safetensors file `step-00010000.safetensors`.
 *
 * Tensors are named `network.<parameter>`, `average.<copy>.<parameter>`, `optimizer.<first|second>.<parameter>` and, where the
 * process itself learns, `learned.<learner>.<number>`.
 * Settings and progress are JSON in the file's metadata. There is no generator state: all randomness is a function of
 * seed and progress.
 */
import { join } from 'node:path'
import * as z from 'zod'
import type { ImageShape } from '../datasets/data-set.js'
import { DpmError, show, throwIfAborted } from '../errors.js'
import { parseJson } from '../files/parse-json.js'
import type { DType } from '../native/binding.js'
import { foreignKind } from './archives/foreign-kind.js'
import { type CheckpointFields, checkpointVersion, type Json, type JsonObject, migrate } from './migrations.js'
import { type SafetensorsDType, SafetensorsFile, type TensorSource, writeSafetensors } from './safetensors.js'

/** How far a run has come; the trainer may keep more here. */
export type CheckpointProgress = JsonObject & {
  /** Finished updates. */
  readonly step: number
}

/** A tensor of the run, read when it is written. */
export interface CheckpointTensor {
  readonly name: string
  readonly dtype: DType
  readonly shape: readonly number[]
  /** The elements in row-major order. */
  read(): Promise<Uint8Array>
}

export interface CheckpointContent {
  /** The run's complete settings. */
  readonly settings: JsonObject
  readonly progress: CheckpointProgress
  /** Class names by index; empty for data without classes. */
  readonly classes: readonly string[]
  readonly image: ImageShape
  readonly tensors: readonly CheckpointTensor[]
}

const dtypes = {
  float64: 'F64',
  float32: 'F32',
  float16: 'F16',
  bfloat16: 'BF16',
  uint8: 'U8',
  int64: 'I64',
} as const satisfies Record<DType, SafetensorsDType>

/** `step-00010000.safetensors`: names sort as steps do, up to 99,999,999. */
export function checkpointName(step: number): string {
  return `step-${String(step).padStart(8, '0')}.safetensors`
}

/** The step in a checkpoint's file name; undefined for any other name. */
export function stepOfName(name: string): number | undefined {
  const digits = /^step-([0-9]{8,15})\.safetensors$/.exec(name)?.[1]
  return digits === undefined ? undefined : Number(digits)
}

/**
 * Writes one checkpoint into a folder, whole or not at all.
 * @returns the file's path.
 * @throws DpmError DPM_WRITE_FAILED, or DPM_INVALID_ARGUMENT for a number that JSON cannot hold.
 */
export async function writeCheckpointFile(folder: string, content: CheckpointContent): Promise<string> {
  const path = join(folder, checkpointName(content.progress.step))
  await writeCheckpointTo(path, content)
  return path
}

/** The same under a name of the caller's. @throws DpmError DPM_ABORTED where the signal fires: nothing is written then. */
export async function writeCheckpointTo(path: string, content: CheckpointContent, signal?: AbortSignal): Promise<void> {
  const sources = content.tensors.map(
    (tensor): TensorSource => ({
      name: tensor.name,
      dtype: dtypes[tensor.dtype],
      shape: tensor.shape,
      read: () => {
        throwIfAborted(signal, 'Writing the checkpoint')
        return tensor.read()
      },
    }),
  )
  await writeSafetensors(path, sources, {
    format: 'dpm-torch',
    version: String(checkpointVersion),
    settings: exactJson(content.settings, 'settings'),
    progress: exactJson(content.progress, 'progress'),
    classes: exactJson(content.classes, 'classes'),
    image: exactJson({ ...content.image }, 'image'),
  })
}

/** JSON of a value that comes back equal: JSON would turn NaN and Infinity into null without a word. */
function exactJson(value: unknown, name: string): string {
  return JSON.stringify(value, (key, inner: unknown) => {
    if (typeof inner === 'number' && !Number.isFinite(inner)) {
      const place = key ? `${name}.….${key}` : name
      throw new DpmError('DPM_INVALID_ARGUMENT', `Expected a finite number for \`${place}\` but received ${inner}.`)
    }
    return inner
  })
}

const progressSchema = z.looseObject({ step: z.int().min(0) })
const columnsSchema = z
  .object({
    names: z.array(z.string()),
    means: z.array(z.number()),
    deviations: z.array(z.number().positive()),
  })
  .refine(({ names, means, deviations }) => names.length === means.length && names.length === deviations.length)
export const imageSchema = z
  .object({
    channels: z.int().min(1),
    height: z.int().min(1),
    width: z.int().min(1),
    columns: columnsSchema.optional(),
  })
  .refine(({ channels, columns }) => columns === undefined || columns.names.length === channels)
export const classesSchema = z.array(z.string())

/** An open checkpoint. Close it, or write `await using`. */
export class Checkpoint {
  readonly path: string
  readonly settings: JsonObject
  readonly progress: CheckpointProgress
  readonly classes: readonly string[]
  readonly image: ImageShape
  readonly #file: SafetensorsFile
  readonly #names: ReadonlyMap<string, string>

  private constructor(file: SafetensorsFile, fields: CheckpointFields) {
    this.path = file.path
    this.settings = fields.settings
    this.progress = check(progressSchema, fields.progress, 'progress', file.path) as CheckpointProgress
    this.classes = check(classesSchema, fields.classes, 'classes', file.path)
    this.image = check(imageSchema, fields.image, 'image', file.path)
    this.#file = file
    this.#names = fields.tensorNames
  }

  /**
   * Opens a checkpoint file and checks that it is one, and complete.
   * @throws DpmError DPM_FILE_MISSING, or DPM_FILE_INVALID for a truncated, foreign or newer file.
   */
  static async open(path: string): Promise<Checkpoint> {
    const file = await SafetensorsFile.open(path).catch(async (error: unknown) => {
      throw (await foreignFile(path, error)) ?? error
    })
    try {
      if (file.metadata.get('format') !== 'dpm-torch') {
        throw new DpmError(
          'DPM_FILE_INVALID',
          `${JSON.stringify(path)} is a safetensors file, but not a checkpoint of dpm-torch (its metadata has no format ` +
            `"dpm-torch"). ${importCure(path)}`,
          { details: { path } },
        )
      }
      const stored: CheckpointFields = {
        settings: object(file, 'settings'),
        progress: object(file, 'progress'),
        classes: json(file, 'classes'),
        image: json(file, 'image'),
        tensorNames: new Map([...file.tensors.keys()].map((name) => [name, name])),
      }
      return new Checkpoint(file, migrate(stored, file.metadata.get('version') ?? '', path))
    } catch (error) {
      await file.close()
      throw error
    }
  }

  get step(): number {
    return this.progress.step
  }

  /** Number of averaged copies of the network that it holds. */
  get averages(): number {
    const copies = this.names('average').map((name) => name.split('.')[1])
    return new Set(copies).size
  }

  /** Names of all tensors, or of those under a prefix: `network`, `average.0`, `optimizer.first`. */
  names(prefix = ''): string[] {
    const names = [...this.#names.keys()]
    return prefix ? names.filter((name) => name.startsWith(`${prefix}.`)) : names
  }

  has(name: string): boolean {
    return this.#names.has(name)
  }

  /** Shape and element type of a tensor; undefined when there is none of that name. */
  info(name: string): { readonly dtype: DType; readonly shape: readonly number[] } | undefined {
    const entry = this.#file.tensors.get(this.#names.get(name) ?? '')
    const found = entry && Object.entries(dtypes).find(([, stored]) => stored === entry.dtype)
    return entry && found && { dtype: found[0] as DType, shape: entry.shape }
  }

  /** A tensor's bytes, exactly as they were written. */
  async read(name: string): Promise<Uint8Array<ArrayBuffer>> {
    return this.#file.readTensor(this.#names.get(name) ?? name)
  }

  /** Doing it twice is harmless. */
  async close(): Promise<void> {
    await this.#file.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}

/** Weights of another program, or no weights at all, told for what they are; undefined for a broken file of safetensors. */
async function foreignFile(path: string, cause: unknown): Promise<DpmError | undefined> {
  if (!(cause instanceof DpmError) || cause.code !== 'DPM_FILE_INVALID') return undefined
  const kind = await foreignKind(path).catch(() => undefined)
  if (!kind) return undefined
  return new DpmError(
    'DPM_FILE_INVALID',
    `${JSON.stringify(path)} is no checkpoint of dpm-torch: it is ${kind.name}${kind.isWeights ? `. ${importCure(path)}` : ''}`,
    { cause, details: { path } },
  )
}

/** What makes a checkpoint of weights of another program. */
export function importCure(path: string): string {
  const shown = /^[\w./:@+-]+$/.test(path) ? path : JSON.stringify(path)
  return `Make a checkpoint of it first: \`dpm-torch import ${shown} --out model.safetensors\`.`
}

/** Far more than any settings take; a hostile file could hold 100 MB. */
const maximumJsonLength = 8_000_000

function json(file: SafetensorsFile, name: string): Json {
  const text = file.metadata.get(name) ?? ''
  try {
    return parseJson(text, { name, maximumLength: maximumJsonLength }) as Json
  } catch (error) {
    throw invalidField(file.path, name, text, error)
  }
}

function object(file: SafetensorsFile, name: string): JsonObject {
  const value = json(file, name)
  if (isObject(value)) return value
  throw invalidField(file.path, name, value)
}

function isObject(value: Json): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function check<Schema extends z.ZodType>(schema: Schema, value: unknown, name: string, path: string): z.output<Schema> {
  const result = schema.safeParse(value)
  if (!result.success) throw invalidField(path, name, value, result.error)
  return result.data
}

function invalidField(path: string, name: string, value: unknown, cause?: unknown): DpmError {
  return new DpmError(
    'DPM_FILE_INVALID',
    `The ${name} in the checkpoint ${JSON.stringify(path)} cannot be read: it is ${show(value)}. Use another checkpoint.`,
    { cause, details: { path, field: name } },
  )
}
