/**
 * CIFAR-10 (Krizhevsky 2009), the published binary version: 60,000 pictures of 32×32 in ten classes, in files of 10,000
 * records of one label byte and 3072 bytes of red, green and blue planes.
 */
import { readFile, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import * as z from 'zod'
import { DpmError, throwIfAborted } from '../errors.js'
import { pathOption } from '../options/path-option.js'
import { lookAt, readPieces } from './byte-pieces.js'
import { defineDataSet, type OpenContext } from './define-data-set.js'
import { checkLabels, MemoryDataSet } from './memory-data-set.js'
import { missingOr } from './missing.js'
import { readTar } from './tar.js'

const archiveName = 'cifar-10-binary.tar.gz'
const archiveFolder = 'cifar-10-batches-bin'
const page = 'https://www.cs.toronto.edu/~kriz/cifar.html'

const cifar10Schema = z.strictObject({
  kind: z.literal('cifar10'),
  path: pathOption()
    .default('data/cifar10')
    .describe(`folder of the .bin files or of ${archiveName}, or a path to that archive`),
  split: z.enum(['train', 'test']).default('train').describe('50,000 pictures to train on, or 10,000 to test with'),
})

const imageBytes = 3 * 32 * 32
const recordBytes = 1 + imageBytes
const recordsPerFile = 10_000
const fileBytes = recordsPerFile * recordBytes
const batchFiles = {
  train: ['data_batch_1.bin', 'data_batch_2.bin', 'data_batch_3.bin', 'data_batch_4.bin', 'data_batch_5.bin'],
  test: ['test_batch.bin'],
} as const
const metaFile = 'batches.meta.txt'
const mostMetaBytes = 1 << 16
const publishedClasses = ['airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck']

/** Takes the files of a split as they come. */
type Take = (name: string, bytes: Uint8Array, place: string) => void

export const cifar10 = defineDataSet({
  name: 'cifar10',
  options: cifar10Schema,
  published: () => ({ channels: 3, height: 32, width: 32, classes: publishedClasses.length }),
  async open(settings, context) {
    const names: readonly string[] = batchFiles[settings.split]
    const source = await findSource(settings.path, names)
    const images = new Uint8Array(names.length * recordsPerFile * imageBytes)
    const labels = new Uint8Array(names.length * recordsPerFile)
    let classes: readonly string[] = publishedClasses
    let filesDone = 0
    const take: Take = (name, bytes, place) => {
      if (name === metaFile) {
        classes = parseClasses(bytes, place)
        return
      }
      const first = names.indexOf(name) * recordsPerFile
      splitRecords(bytes, place, images.subarray(first * imageBytes), labels.subarray(first))
      context.progress?.(++filesDone, names.length)
    }
    if (source.archive) await readArchive(source.path, names, take, context)
    else await readFolder(source.path, names, take, context)
    checkLabels(labels, classes, source.path)
    return new MemoryDataSet({ name: 'cifar10', channels: 3, height: 32, width: 32, images, labels, classes })
  },
})

/** Where the data is: unpacked or packed, at the path itself or in it. */
async function findSource(path: string, names: readonly string[]): Promise<{ path: string; archive: boolean }> {
  const first = names[0] ?? ''
  const info = await stat(path).catch(() => undefined)
  if (info?.isFile()) return { path, archive: true }
  for (const folder of [path, join(path, archiveFolder)]) {
    if (await isFile(join(folder, first))) return { path: folder, archive: false }
  }
  if (await isFile(join(path, archiveName))) return { path: join(path, archiveName), archive: true }
  throw new DpmError(
    'DPM_DATA_MISSING',
    `There is neither ${first} nor ${archiveName} in ${resolve(path)}. Fetch the "CIFAR-10 binary version", ${archiveName}, from ${page} and put it there; it need not be unpacked.`,
    { details: { path: resolve(path), file: archiveName, page } },
  )
}

async function isFile(path: string): Promise<boolean> {
  const info = await stat(path).catch(() => undefined)
  return info?.isFile() ?? false
}

async function readFolder(folder: string, names: readonly string[], take: Take, context: OpenContext): Promise<void> {
  for (const name of names) {
    throwIfAborted(context.signal, 'Opening cifar10')
    const path = join(folder, name)
    take(name, await readWhole(path, fileBytes), path)
  }
  const meta = join(folder, metaFile)
  if (await isFile(meta)) take(metaFile, await readWhole(meta, mostMetaBytes), meta)
}

/** A file that is longer than it can be is not read. */
async function readWhole(path: string, mostBytes: number): Promise<Uint8Array> {
  const refuse = missingOr(path, `Fetch ${archiveName} from ${page}.`)
  const { size } = await stat(path).catch(refuse)
  if (size <= mostBytes) return await readFile(path).catch(refuse)
  throw new DpmError(
    'DPM_DATA_INVALID',
    `Expected at most ${mostBytes} bytes in ${path} but it has ${size}. Fetch it again.`,
    { details: { path } },
  )
}

async function readArchive(path: string, names: readonly string[], take: Take, { signal }: OpenContext): Promise<void> {
  const missing = new Set<string>([...names, metaFile])
  const baseName = (name: string): string => name.slice(name.lastIndexOf('/') + 1)
  const pieces = readPieces(await lookAt(path), `Fetch it again from ${page}.`, signal)
  for await (const entry of readTar(pieces, path, (name) => missing.has(baseName(name)), fileBytes, signal)) {
    const name = baseName(entry.name)
    take(name, entry.data, `${path}:${entry.name}`)
    missing.delete(name)
    if (missing.size === 0) break
  }
  missing.delete(metaFile)
  if (missing.size > 0) {
    throw new DpmError(
      'DPM_DATA_INVALID',
      `${path} does not contain ${[...missing].join(', ')}. Fetch ${archiveName} from ${page}.`,
    )
  }
}

function splitRecords(bytes: Uint8Array, place: string, images: Uint8Array, labels: Uint8Array): void {
  if (bytes.length !== fileBytes) {
    throw new DpmError(
      'DPM_DATA_INVALID',
      `Expected ${fileBytes} bytes (${recordsPerFile} records of ${recordBytes}) in ${place} but it has ${bytes.length}. Fetch it again.`,
      { details: { path: place, records: bytes.length / recordBytes } },
    )
  }
  for (let record = 0; record < recordsPerFile; record++) {
    const start = record * recordBytes
    labels[record] = bytes[start] ?? 0
    images.set(bytes.subarray(start + 1, start + recordBytes), record * imageBytes)
  }
}

function parseClasses(bytes: Uint8Array, place: string): readonly string[] {
  const names = Buffer.from(bytes)
    .toString('utf8')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
  if (names.length !== publishedClasses.length) {
    throw new DpmError(
      'DPM_DATA_INVALID',
      `Expected ${publishedClasses.length} class names in ${place} but it has ${names.length}.`,
    )
  }
  return names
}
