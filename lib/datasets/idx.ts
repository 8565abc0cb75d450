/**
 * The idx files of MNIST (http://yann.lecun.com/exdb/mnist/) and of those that took over its form, such as Fashion-MNIST
 * (arXiv 1708.07747): a big-endian header, then bytes; plain or gzipped.
 */
import { access, readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import type { ZlibOptions } from 'node:zlib'
import * as z from 'zod'
import { DpmError, throwIfAborted } from '../errors.js'
import { pathOption } from '../options/path-option.js'
import { defineDataSet } from './define-data-set.js'
import { checkLabels, MemoryDataSet } from './memory-data-set.js'
import { missingOr } from './missing.js'

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
/** Deflate cannot shrink further than 1032 : 1. */
const largestRatio = 1032

export const idx = defineDataSet({
  name: 'idx',
  options: idxSchema,
  published: ({ padding }) => ({ channels: 1, height: 28 + 2 * padding, width: 28 + 2 * padding, classes: 10 }),
  async open(settings, { signal, progress }) {
    const files =
      settings.images === null ? await findFiles(settings) : { images: settings.images, labels: settings.labels }
    const images = await readIdx(files.images, imagesMagic, 'images')
    throwIfAborted(signal, 'Opening idx files')
    const [count = 0, height = 0, width = 0] = images.sizes
    if (count * height * width === 0) throw new DpmError('DPM_DATA_INVALID', `${files.images} has no images.`)
    const labels = files.labels === null ? null : (await readLabels(files.labels, count)).bytes
    const classes = typeof settings.names === 'string' ? classNames[settings.names] : settings.names
    if (labels) checkLabels(labels, classes, files.labels ?? '')
    const { padding } = settings
    progress?.(count, count)
    return new MemoryDataSet({
      name: 'idx',
      channels: 1,
      height: height + 2 * padding,
      width: width + 2 * padding,
      images: padding === 0 ? images.bytes : pad(images.bytes, count, height, width, padding),
      labels,
      classes,
    })
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

async function readIdx(path: string, magic: number, what: string): Promise<Idx> {
  const dimensions = magic & 0xff
  const headerBytes = 4 + 4 * dimensions
  const file = await unpack(path, await readFile(path).catch(missingOr(path)), (start) => sizeOf(start, dimensions))
  const found = file.length >= headerBytes ? file.readUInt32BE(0) : -1
  if (found !== magic) {
    throw new DpmError(
      'DPM_DATA_INVALID',
      `Expected an idx file of ${what}, which begins with ${hex(magic)}, but ${path} ${found < 0 ? `has only ${file.length} bytes` : `begins with ${hex(found)}`}.`,
      { details: { path } },
    )
  }
  const sizes = Array.from({ length: dimensions }, (_, i) => file.readUInt32BE(4 + 4 * i))
  const bytes = headerBytes + sizes.reduce((a, b) => a * b, 1)
  if (bytes !== file.length) {
    throw new DpmError(
      'DPM_DATA_INVALID',
      `Expected ${bytes} bytes in ${path}, as its header says (${sizes.join('×')}), but it has ${file.length}. Fetch it again.`,
      { details: { path } },
    )
  }
  return { sizes, bytes: file.subarray(headerBytes) }
}

async function readLabels(path: string, count: number): Promise<Idx> {
  const labels = await readIdx(path, labelsMagic, 'labels')
  if (labels.sizes[0] !== count) {
    throw new DpmError(
      'DPM_DATA_INVALID',
      `Expected a label for each of the ${count} images but ${path} has ${labels.sizes[0]}.`,
    )
  }
  return labels
}

/** Bytes of a whole file, as its beginning claims; 0 where that is too short to. */
function sizeOf(start: Buffer, dimensions: number): number {
  const headerBytes = 4 + 4 * dimensions
  if (start.length < headerBytes) return 0
  const sizes = Array.from({ length: dimensions }, (_, i) => start.readUInt32BE(4 + 4 * i))
  return headerBytes + sizes.reduce((a, b) => a * b, 1)
}

/**
 * The bytes of a file that may be gzipped: its first two bytes say so, whatever its name. No more is unpacked than its
 * beginning claims and gzip can hold: a small file does not fill the memory.
 */
async function unpack(path: string, file: Buffer, claimOf: (start: Buffer) => number): Promise<Buffer> {
  if (file[0] !== 0x1f || file[1] !== 0x8b) return file
  const { constants, gunzip } = process.getBuiltinModule('node:zlib')
  const start = await promisify<Buffer, ZlibOptions, Buffer>(gunzip)(file.subarray(0, 1024), {
    finishFlush: constants.Z_SYNC_FLUSH,
  }).catch(() => Buffer.alloc(0))
  const maxOutputLength = Math.max(64, Math.min(claimOf(start), file.length * largestRatio)) + 1
  return promisify<Buffer, ZlibOptions, Buffer>(gunzip)(file, { maxOutputLength }).catch((error: unknown) => {
    throw new DpmError('DPM_DATA_INVALID', `${path} is not a whole gzip file: ${String(error)}. Fetch it again.`, {
      cause: error,
      details: { path },
    })
  })
}

function pad(bytes: Uint8Array, count: number, height: number, width: number, padding: number): Uint8Array {
  const paddedHeight = height + 2 * padding
  const paddedWidth = width + 2 * padding
  const padded = new Uint8Array(count * paddedHeight * paddedWidth)
  for (let row = 0; row < count * height; row++) {
    const image = Math.floor(row / height)
    const y = (row % height) + padding
    padded.set(bytes.subarray(row * width, (row + 1) * width), (image * paddedHeight + y) * paddedWidth + padding)
  }
  return padded
}

function hex(value: number): string {
  return `0x${value.toString(16).padStart(8, '0')}`
}
