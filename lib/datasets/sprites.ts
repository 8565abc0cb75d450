/**
 * The sprites of the course "How diffusion models work" (DeepLearning.AI, after FrootsnVeggies and kyrise): 89,400
 * pictures of 16×16 in two NumPy files; and any other data in that form.
 */
import * as z from 'zod'
import { DpmError, throwIfAborted } from '../errors.js'
import { eachConcurrently } from '../images/concurrently.js'
import { toPlanes } from '../images/planes.js'
import { pathOption } from '../options/path-option.js'
import { allocate } from './allocate.js'
import type { DataSet } from './data-set.js'
import { defineDataSet } from './define-data-set.js'
import { checkIndex, checkRead, exampleSize, MemoryDataSet } from './memory-data-set.js'
import { NpyFile } from './npy.js'

const spritesSchema = z.strictObject({
  kind: z.literal('sprites'),
  images: pathOption()
    .default('data/sprites/sprites_1788_16x16.npy')
    .describe('file of N×H×W×C uint8, with 1 or 3 channels'),
  labels: pathOption()
    .nullable()
    .default('data/sprites/sprite_labels_nc_1788_16x16.npy')
    .describe('file of N×K one-hot labels; null: no classes'),
  classNames: z
    .array(z.string())
    .nullable()
    .default(null)
    .describe("one name per label column; null: the course's five names for five columns, else numbers"),
  inMemory: z
    .boolean()
    .nullable()
    .default(null)
    .describe('hold all examples in memory; null: when they have less than 512 MiB'),
})

/** The course's own names, in the order of its label columns. */
const courseClasses = ['hero', 'non-hero', 'food', 'spell', 'side-facing']
/** What to do where a file is not there. */
const courseCure =
  'The course "How diffusion models work" (https://www.deeplearning.ai/short-courses/how-diffusion-models-work/) has sprites_1788_16x16.npy and sprite_labels_nc_1788_16x16.npy beside its notebooks: put both into data/sprites, or name other files as `data.images` and `data.labels`.'
const heldBytes = 512 * 2 ** 20
/** Examples per read while loading: about a megabyte, after which the event loop has its turn. */
const blockBytes = 2 ** 20

export const sprites = defineDataSet({
  name: 'sprites',
  options: spritesSchema,
  published: ({ labels }) => ({
    channels: 3,
    height: 16,
    width: 16,
    classes: labels === null ? 0 : courseClasses.length,
  }),
  async open(settings, { signal, progress }) {
    const images = await NpyFile.open(settings.images, courseCure)
    try {
      const [count = 0, height = 0, width = 0, channels = 0] = images.shape
      if (
        images.type !== 'uint8' ||
        images.shape.length !== 4 ||
        (channels !== 1 && channels !== 3) ||
        images.itemBytes === 0
      ) {
        throw new DpmError(
          'DPM_DATA_INVALID',
          `Expected N×H×W×C uint8 with 1 or 3 channels in ${settings.images} but it has ${images.shape.join('×')} ${images.type}.`,
        )
      }
      if (count === 0) throw new DpmError('DPM_DATA_INVALID', `${settings.images} has no examples.`)
      const { labels, columns } =
        settings.labels === null ? { labels: null, columns: 0 } : await readLabels(settings.labels, count, signal)
      const classes = labels ? classNames(settings.classNames, columns, settings.labels ?? '') : []
      const parts = { name: 'sprites', channels, height, width, labels, classes }
      if (!(settings.inMemory ?? count * images.itemBytes < heldBytes)) return new NpyDataSet(images, parts)
      const held = allocate(Uint8Array, count * images.itemBytes, `the images of ${settings.images}`)
      const block = Math.max(1, Math.floor(blockBytes / images.itemBytes))
      for (let start = 0; start < count; start += block) {
        throwIfAborted(signal, 'Opening sprites')
        const size = Math.min(block, count - start)
        const pixels = await images.readItems(start, size)
        for (let i = 0; i < size; i++) {
          const from = pixels.subarray(i * images.itemBytes)
          toPlanes(from, channels, height * width, held, (start + i) * images.itemBytes)
        }
        progress?.(start + size, count)
      }
      await images.close()
      return new MemoryDataSet({ ...parts, images: held })
    } catch (error) {
      await images.close()
      throw error
    }
  },
})

interface NpyDataSetParts {
  readonly name: string
  readonly channels: number
  readonly height: number
  readonly width: number
  readonly labels: Uint8Array | null
  readonly classes: readonly string[]
}

/** Examples stay in their file and are read one by one. */
class NpyDataSet implements DataSet {
  readonly name: string
  readonly channels: number
  readonly height: number
  readonly width: number
  readonly length: number
  readonly classes: readonly string[]
  readonly corrupt = []
  readonly #labels: Uint8Array | null
  readonly #images: NpyFile

  constructor(images: NpyFile, parts: NpyDataSetParts) {
    this.name = parts.name
    this.channels = parts.channels
    this.height = parts.height
    this.width = parts.width
    this.length = images.length
    this.classes = parts.classes
    this.#labels = parts.labels
    this.#images = images
  }

  classOf(index: number): number {
    checkIndex(this, index)
    return this.#labels?.[index] ?? -1
  }

  async read(indices: readonly number[], into: Uint8Array, signal?: AbortSignal): Promise<void> {
    checkRead(this, indices, into)
    const size = exampleSize(this)
    const readOne = async (slot: number): Promise<void> => {
      const pixels = await this.#images.readItems(indices[slot] ?? 0, 1)
      toPlanes(pixels, this.channels, this.height * this.width, into, slot * size)
    }
    await eachConcurrently(indices.length, readOne, signal)
  }

  close(): Promise<void> {
    return this.#images.close()
  }
}

/** One-hot rows → indices. A row that is not one-hot would train the wrong class in silence, so it is an error. */
async function readLabels(
  path: string,
  count: number,
  signal: AbortSignal | undefined,
): Promise<{ labels: Uint8Array; columns: number }> {
  const file = await NpyFile.open(path, courseCure)
  try {
    const [rows = 0, columns = 0] = file.shape
    if (file.shape.length !== 2 || rows !== count || columns < 1 || columns > 256) {
      throw new DpmError(
        'DPM_DATA_INVALID',
        `Expected one-hot labels of shape ${count}×K in ${path}, a row for each image, but it has shape ${file.shape.join('×')}.`,
      )
    }
    const values = await file.readNumbers(signal)
    const labels = new Uint8Array(rows)
    for (let row = 0; row < rows; row++) {
      const entries = values.subarray(row * columns, (row + 1) * columns)
      labels[row] = entries.indexOf(1)
      if (entries.filter((value) => value === 0).length !== columns - 1 || !entries.includes(1)) {
        throw new DpmError(
          'DPM_DATA_INVALID',
          `Expected one 1 and otherwise zeros in row ${row} of ${path} but it is ${[...entries].join(', ')}.`,
        )
      }
    }
    return { labels, columns }
  } finally {
    await file.close()
  }
}

function classNames(given: readonly string[] | null, columns: number, path: string): readonly string[] {
  if (given && given.length !== columns) {
    throw new DpmError(
      'DPM_INVALID_OPTION',
      `Expected ${columns} names for \`classNames\`, one for each column of ${path}, but received ${given.length}.`,
    )
  }
  return (
    given ?? (columns === courseClasses.length ? courseClasses : Array.from({ length: columns }, (_, i) => String(i)))
  )
}
