/**
 * The idx files of MNIST (http://yann.lecun.com/exdb/mnist/) and of those that took over its form, such as Fashion-MNIST
 * (arXiv 1708.07747): a big-endian header, then bytes; plain or gzipped.
 */
import { access } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import * as z from 'zod'
import { DpmError, throwIfAborted } from '../errors.js'
import { pathOption } from '../options/path-option.js'
import { allocate } from './allocate.js'
import { ByteReader, lookAt, readPieces } from './byte-pieces.js'
import { defineDataSet } from './define-data-set.js'
import { checkLabels, MemoryDataSet } from './memory-data-set.js'
import { PaddedDataSet } from './padded-data-set.js'

const classNames = {
  digits: ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9'],
  fashion: ['T-shirt/top', 'Trouser', 'Pullover', 'Dress', 'Coat', 'Sandal', 'Shirt', 'Sneaker', 'Bag', 'Ankle boot'],
} as const

const idxSchema = z.strictObject({
  kind: z.literal('idx'),
  folder: pathOption().default('data/mnist').describe('folder of the published files, e.g. train-images-idx3-ubyte.gz'),
  split: z.enum(['train', 'test']).default('train').describe('which of the published files'),
  images: pathOption().nullable().default(null).describe('an image file, instead of folder and split'),
  labels: pathOption().nullable().default(null).describe('its label file; without one the images have no classes'),
  padding: z.int().min(0).max(64).default(0).describe('black pixels added on every side: 2 makes 32×32 of 28×28'),
  names: z
    .union([z.enum(['digits', 'fashion']), z.array(z.string()).min(1)])
    .default('digits')
    .describe('names of the classes'),
})

export type IdxSettings = z.output<typeof idxSchema>

/** unsigned bytes (0x08) in three dimensions, and in one. */
const imagesMagic = 0x00000803
const labelsMagic = 0x00000801
/** Pictures shrink to a tenth or a fiftieth; what would unpack to more than this, and than 64 MiB, is for gunzip to do. */
const largestRatio = 100
const smallBytes = 2 ** 26

export const idx = defineDataSet({
  name: 'idx',
  options: idxSchema,
  published: ({ padding }) => ({ channels: 1, height: 28 + 2 * padding, width: 28 + 2 * padding, classes: 10 }),
  async open(settings, { signal, progress }) {
    const files =
      settings.images === null ? await findFiles(settings) : { images: settings.images, labels: settings.labels }
    const images = await readIdx(files.images, imagesMagic, 'images', signal)
    const [count = 0, height = 0, width = 0] = images.sizes
    if (count * height * width === 0) throw new DpmError('DPM_DATA_INVALID', `${files.images} has no images.`)
    const labels = files.labels === null ? null : (await readLabels(files.labels, count, signal)).bytes
    throwIfAborted(signal, 'Opening idx files')
    const classes = typeof settings.names === 'string' ? classNames[settings.names] : settings.names
    if (labels) checkLabels(labels, classes, files.labels ?? '')
    progress?.(count, count)
    const parts = { name: 'idx', channels: 1, height, width, images: images.bytes, labels, classes }
    const dataSet = new MemoryDataSet(parts)
    return settings.padding === 0 ? dataSet : new PaddedDataSet(dataSet, settings.padding)
  },
})

async function findFiles({ folder, split }: IdxSettings): Promise<{ images: string; labels: string }> {
  const prefix = split === 'train' ? 'train' : 't10k'
  const find = async (what: string): Promise<string> => {
    // Both spellings are in circulation: the second is how the first was unpacked on some systems.
    const names = [`${prefix}-${what}-ubyte`, `${prefix}-${what.replace('-', '.')}-ubyte`].flatMap((name) => [
      name,
      `${name}.gz`,
    ])
    for (const name of names) {
      const there = await access(join(folder, name)).then(
        () => true,
        () => false,
      )
      if (there) return join(folder, name)
    }
    throw new DpmError(
      'DPM_DATA_MISSING',
      `There is no ${names.join(', ')} in ${resolve(folder)}. Put MNIST's or Fashion-MNIST's files there (http://yann.lecun.com/exdb/mnist/, https://github.com/zalandoresearch/fashion-mnist), or name their folder.`,
      { details: { folder } },
    )
  }
  return { images: await find('images-idx3'), labels: await find('labels-idx1') }
}

interface Idx {
  readonly sizes: readonly number[]
  readonly bytes: Uint8Array
}

/** The header is held against the file before room is made for what it claims. */
async function readIdx(path: string, magic: number, what: string, signal: AbortSignal | undefined): Promise<Idx> {
  const dimensions = magic & 0xff
  const file = await lookAt(path)
  const reader = new ByteReader(readPieces(file, 'Fetch it again.', signal))
  try {
    const header = Buffer.alloc(4 + 4 * dimensions)
    const headerBytes = await reader.read(header)
    const found = headerBytes < header.length ? -1 : header.readUInt32BE(0)
    if (found !== magic) {
      throw invalid(
        path,
        `Expected an idx file of ${what}, which begins with ${hex(magic)}, but ${path} ${found < 0 ? `has only ${headerBytes} bytes` : `begins with ${hex(found)}`}.`,
      )
    }
    const sizes = Array.from({ length: dimensions }, (_, i) => header.readUInt32BE(4 + 4 * i))
    const values = sizes.reduce((a, b) => a * b, 1)
    const wrong = (has: string): DpmError =>
      invalid(
        path,
        `Expected ${header.length + values} bytes in ${path}, as its header says (${sizes.join('×')}), but it has ${has}. Fetch it again.`,
      )
    if (!file.isGzip && file.sizeBytes !== header.length + values) throw wrong(`${file.sizeBytes}`)
    if (file.isGzip && values > Math.max(smallBytes, largestRatio * file.sizeBytes)) {
      throw invalid(
        path,
        `${path} has ${file.sizeBytes} bytes and says that it unpacks to ${values} (${sizes.join('×')}), over ${largestRatio} times as many. Unpack it with gunzip if that is so: a file that is not packed may have any length.`,
      )
    }
    const bytes = allocate(Uint8Array, values, `the ${what} of ${path}`)
    const read = await reader.read(bytes)
    if (read < values) throw wrong(`${headerBytes + read}`)
    // Of a gzip file this reads the checksum at its end, too.
    if ((await reader.skip(1)) > 0) throw wrong('more')
    return { sizes, bytes }
  } finally {
    await reader.close()
  }
}

function invalid(path: string, message: string): DpmError {
  return new DpmError('DPM_DATA_INVALID', message, { details: { path } })
}

async function readLabels(path: string, count: number, signal: AbortSignal | undefined): Promise<Idx> {
  const labels = await readIdx(path, labelsMagic, 'labels', signal)
  if (labels.sizes[0] !== count) {
    throw new DpmError(
      'DPM_DATA_INVALID',
      `Expected a label for each of the ${count} images but ${path} has ${labels.sizes[0]}.`,
    )
  }
  return labels
}

function hex(value: number): string {
  return `0x${value.toString(16).padStart(8, '0')}`
}
