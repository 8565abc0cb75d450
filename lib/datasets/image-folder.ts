/** A folder of pictures of any size and format; its sub-folders, if any, are the classes. */
import { readFile, stat } from 'node:fs/promises'
import { join, resolve, sep } from 'node:path'
import * as z from 'zod'
import { DpmError, throwIfAborted } from '../errors.js'
import { readFailure, systemCode } from '../files/file-failure.js'
import { eachConcurrently } from '../images/concurrently.js'
import { decodeImage, imageFits, resizeKernels } from '../images/decode.js'
import { toPlanes } from '../images/planes.js'
import { pathOption } from '../options/path-option.js'
import type { CorruptExample, DataSet } from './data-set.js'
import { defineDataSet } from './define-data-set.js'
import { findImages, imageExtensions } from './folder-walk.js'
import { checkIndex, checkRead, closed, exampleSize } from './memory-data-set.js'
import { missingOr } from './missing.js'

const imageFolderSchema = z.strictObject({
  kind: z.literal('image-folder'),
  folder: pathOption().describe('folder of the pictures'),
  size: z.int().min(1).max(4096).default(64).describe('height and width in pixels that every picture is brought to'),
  channels: z
    .union([z.literal(1), z.literal(3)])
    .default(3)
    .describe('3: sRGB; 1: luminance. Pictures of any other kind are converted'),
  fit: z
    .enum(imageFits)
    .default('center-crop')
    .describe(
      'center-crop: the largest square in the middle; stretch: all of it, distorted; contain: all of it, with bars',
    ),
  kernel: z.enum(resizeKernels).default('lanczos3').describe('resize kernel'),
  background: z
    .string()
    .regex(/^#[0-9a-fA-F]{6}$/, 'Expected a colour such as #ffffff')
    .default('#ffffff')
    .describe('colour behind transparent pixels, and of the bars of contain'),
  autoOrient: z.boolean().default(true).describe('turn photographs as their EXIF orientation says'),
  shrinkOnLoad: z.boolean().default(false).describe('let decoders shrink first: faster on large JPEGs, other pixels'),
  recursive: z.boolean().default(true).describe('look into sub-folders'),
  classes: z
    .enum(['folders', 'none'])
    .default('folders')
    .describe('folders: the first level of sub-folders, where pictures are in sub-folders; none: no classes'),
  corrupt: z
    .enum(['error', 'skip'])
    .default('error')
    .describe('a picture that cannot be decoded stops the work, or is recorded and replaced by the next of its class'),
})

export type ImageFolderSettings = z.output<typeof imageFolderSchema>

export const imageFolder = defineDataSet({
  name: 'image-folder',
  options: imageFolderSchema,
  // With classes, as ImageNet has them.
  published: ({ channels, size, classes }) => ({
    channels,
    height: size,
    width: size,
    classes: classes === 'none' ? 0 : 1000,
  }),
  async open(settings, { signal, progress }) {
    const root = settings.folder
    const info = await stat(root).catch(missingOr(root, 'Correct `folder`, or put the pictures there.'))
    if (!info.isDirectory()) throw new DpmError('DPM_DATA_INVALID', `Expected a folder but ${resolve(root)} is a file.`)
    const paths = await findImages(root, settings.recursive, signal).catch((error: unknown) => {
      throw error instanceof DpmError ? error : readFailure(root, error, 'folder')
    })
    if (paths.length === 0) {
      throw new DpmError(
        'DPM_DATA_INVALID',
        `There are no pictures in ${resolve(root)}${settings.recursive ? ' or below it' : ''}. Looked for files that end in ${imageExtensions.join(', ')}.`,
        { details: { folder: resolve(root) } },
      )
    }
    progress?.(paths.length, paths.length)
    return new ImageFolder(settings, paths)
  },
})

/** Pictures are decoded whenever they are read: on libuv's threads, a few at a time. */
class ImageFolder implements DataSet {
  readonly name = 'image-folder'
  readonly channels: number
  readonly height: number
  readonly width: number
  readonly length: number
  readonly classes: readonly string[]
  readonly #settings: ImageFolderSettings
  readonly #paths: readonly string[]
  readonly #labels: Int32Array | null
  /** By index, so that a picture met again is neither decoded nor counted again. */
  readonly #corrupt = new Map<number, CorruptExample>()
  #closed = false

  constructor(settings: ImageFolderSettings, paths: readonly string[]) {
    this.channels = settings.channels
    this.height = settings.size
    this.width = settings.size
    this.length = paths.length
    this.#settings = settings
    this.#paths = paths
    const { classes, labels } =
      settings.classes === 'none' ? { classes: [], labels: null } : classesOf(settings.folder, paths)
    this.classes = classes
    this.#labels = labels
  }

  /** In the order of their indices, which does not depend on the order of reading. */
  get corrupt(): readonly CorruptExample[] {
    return [...this.#corrupt.values()].sort((a, b) => a.index - b.index)
  }

  classOf(index: number): number {
    checkIndex(this, index)
    return this.#labels?.[index] ?? -1
  }

  async read(indices: readonly number[], into: Uint8Array, signal?: AbortSignal): Promise<void> {
    if (this.#closed) throw closed(this.name)
    checkRead(this, indices, into)
    const size = exampleSize(this)
    const readOne = async (slot: number): Promise<void> => {
      const pixels = await this.#decodeGood(indices[slot] ?? 0, signal)
      toPlanes(pixels, this.channels, this.height * this.width, into, slot * size)
    }
    await eachConcurrently(indices.length, readOne, signal)
  }

  async close(): Promise<void> {
    this.#closed = true
  }

  /** The example, or where it is corrupt the next good one of its class: always the same one, so a run can be repeated. */
  async #decodeGood(index: number, signal: AbortSignal | undefined): Promise<Uint8Array> {
    for (let step = 0; step < this.length; step++) {
      throwIfAborted(signal, 'Reading the data')
      const candidate = (index + step) % this.length
      if (this.classOf(candidate) !== this.classOf(index) || this.#corrupt.has(candidate)) continue
      try {
        return await this.#decode(candidate)
      } catch (error) {
        if (!(error instanceof DpmError) || error.code !== 'DPM_DATA_INVALID' || this.#settings.corrupt === 'error')
          throw error
        const place = this.#pathOf(candidate)
        this.#corrupt.set(candidate, { index: candidate, place, reason: reasonOf(error.cause) })
      }
    }
    const name = this.classes[this.classOf(index)]
    throw new DpmError(
      'DPM_DATA_INVALID',
      `Every picture${name === undefined ? '' : ` of the class ${name}`} in ${resolve(this.#settings.folder)} is corrupt, the first of them ${this.#pathOf(index)}.`,
    )
  }

  async #decode(index: number): Promise<Uint8Array> {
    const path = this.#pathOf(index)
    try {
      // Read here, not by libvips, which would remember the contents of a file by its name.
      return await decodeImage(await readFile(path), this.#settings)
    } catch (error) {
      // A picture can be bad by itself; too many open files, say, is not its fault and must not be skipped over.
      const code = systemCode(error)
      if (error instanceof DpmError) throw error
      if (code !== '' && !['ENOENT', 'EACCES', 'EIO', 'ELOOP'].includes(code)) throw readFailure(path, error)
      throw new DpmError(
        'DPM_DATA_INVALID',
        `Cannot decode the picture ${path}: ${reasonOf(error)}. Remove or mend it, or set \`corrupt\` to "skip".`,
        { cause: error, details: { path, index, cure: { 'data.corrupt': 'skip' } } },
      )
    }
  }

  #pathOf(index: number): string {
    return join(this.#settings.folder, this.#paths[index] ?? '')
  }
}

/** Classes are the first folders of the paths; paths without one have none, and a mixture is a mistake to be told of. */
function classesOf(root: string, paths: readonly string[]): { classes: readonly string[]; labels: Int32Array | null } {
  const folders = paths.map((path) => (path.includes(sep) ? path.slice(0, path.indexOf(sep)) : null))
  const loose = folders.indexOf(null)
  if (folders.every((folder) => folder === null)) return { classes: [], labels: null }
  if (loose >= 0) {
    throw new DpmError(
      'DPM_DATA_INVALID',
      `Expected all pictures in sub-folders, one for each class, but ${join(root, paths[loose] ?? '')} is beside them. Move it, or set \`classes\` to "none".`,
    )
  }
  const classes = [...new Set(folders.map(String))].sort()
  const indices = new Map(classes.map((name, index) => [name, index]))
  return { classes, labels: Int32Array.from(folders, (folder) => indices.get(String(folder)) ?? -1) }
}

function reasonOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).replace(/\.$/, '')
}
