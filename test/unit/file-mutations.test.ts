/**
 * Ten thousand damaged files of every format that is read from elsewhere. Each is refused with an error of ours, or read
 * to the end: no other exception, no hang, and no tensor of more bytes than its file.
 */
import { writeFileSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { zipSync } from 'fflate'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openArchive } from '../../lib/checkpoints/archives/open-archive.js'
import { openTorchLegacy } from '../../lib/checkpoints/archives/torch-legacy-archive.js'
import { openTorchZip } from '../../lib/checkpoints/archives/torch-zip-archive.js'
import { Checkpoint, writeCheckpointTo } from '../../lib/checkpoints/checkpoint.js'
import { readPickle } from '../../lib/checkpoints/pickle/pickle-machine.js'
import { contentsOf } from '../../lib/checkpoints/pickle/pickled-archive.js'
import { torchGlobal, torchStorage } from '../../lib/checkpoints/pickle/torch-globals.js'
import { dataSchema, openDataSet } from '../../lib/datasets/list.js'
import { NpyFile } from '../../lib/datasets/npy.js'
import { DpmError } from '../../lib/errors.js'
import { openZip } from '../../lib/files/zip-archive.js'
import { parseOptions } from '../../lib/options/options.js'
import { craft } from './crafted-zip.js'
import { mutated } from './mutation.js'

const mutations = 10_000
/** What it takes is a few seconds; this is what a hang is. */
const timeoutMilliseconds = 300_000

const fixture = (name: string): Promise<Buffer> =>
  readFile(fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url)))

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dpm-mutations-'))
})
afterAll(() => rm(folder, { recursive: true }))

/** Reads all that is in a file. @returns the largest number of bytes that one part of it took. */
type Read = (path: string) => Promise<number>

const readArchive =
  (open: typeof openArchive): Read =>
  async (path) => {
    await using archive = await open(path)
    let largest = 0
    for (const tensor of archive.tensors.values()) largest = Math.max(largest, (await tensor.read()).byteLength)
    return largest
  }

const readNpy: Read = async (path) => {
  const file = await NpyFile.open(path)
  try {
    return (await file.readItems(0, file.length)).byteLength
  } finally {
    await file.close()
  }
}

const readCheckpoint: Read = async (path) => {
  await using checkpoint = await Checkpoint.open(path)
  let largest = 0
  for (const name of checkpoint.names()) largest = Math.max(largest, (await checkpoint.read(name)).byteLength)
  return largest
}

const readZip: Read = async (path) => {
  const zip = await openZip(path)
  try {
    for (const entry of zip.entries) await zip.read(entry)
  } finally {
    await zip.close()
  }
  return 0
}

const readIdx: Read = async (path) => {
  const dataSet = await openDataSet(parseOptions(dataSchema, { kind: 'idx', images: path }, 'test'))
  return dataSet.length * dataSet.height * dataSet.width
}

/** Six 64-bit numbers, as NumPy writes them. */
const npy = Buffer.concat([
  Buffer.from('\x93NUMPY\x01\0\x76\0', 'latin1'),
  Buffer.from("{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3), }".padEnd(117)),
  Buffer.from('\n'),
  Buffer.from(Float64Array.of(1, 2, 3, 4, 5, 6).buffer),
])

/** Two 3×4 images. */
const idx = Buffer.concat([Buffer.from('00000803000000020000000300000004', 'hex'), Buffer.alloc(24, 7)])

const formats: readonly [string, () => Promise<Uint8Array>, Read][] = [
  ['safetensors', () => fixture('safetensors/python.safetensors'), readArchive(openArchive)],
  ['checkpoints', ownCheckpoint, readCheckpoint],
  ['PyTorch', () => fixture('torch-files/views.pt'), readArchive(openTorchZip)],
  ['PyTorch before 1.6', () => fixture('torch-files/training-legacy.pt'), readArchive(openTorchLegacy)],
  ['npy', async () => npy, readNpy],
  ['idx', async () => idx, readIdx],
  ['idx, gzipped', async () => gzipSync(idx), readIdx],
  ['ZIP64', async () => craft([{ name: 'a', data: Buffer.alloc(40, 'text'), wide: true }], true), readZip],
  [
    'zip',
    async () => zipSync({ 'a/b': [new Uint8Array(300), { level: 9 }], c: [Buffer.from('text'), { level: 0 }] }),
    readZip,
  ],
]

/** Files of one format that are written and read at the same time. */
const lanes = 8

test.each(formats)(
  '%s',
  async (_, make, read) => {
    const original = await make()
    const ends = { read: 0, refused: 0 }
    const follow = async (lane: number): Promise<void> => {
      const path = join(folder, `file-${lane}`)
      for (let seed = lane; seed < mutations; seed += lanes) {
        const bytes = mutated(original, seed)
        writeFileSync(path, bytes)
        try {
          expect(await read(path), `bytes read of mutation ${seed}`).toBeLessThanOrEqual(bytes.length)
          ends.read++
        } catch (error) {
          requireOurs(error, seed)
          ends.refused++
        }
      }
    }
    await Promise.all(Array.from({ length: lanes }, (_, lane) => follow(lane)))
    // Neither is everything refused at the door, nor nothing.
    expect(ends.read).toBeGreaterThan(20)
    expect(ends.refused).toBeGreaterThan(mutations / 10)
  },
  timeoutMilliseconds,
)

/** Where the checksums of a zip would stop nearly all: the pickle alone, over storages of any length. */
test.each(['training', 'views'])('pickles: %s', async (name) => {
  const whole = await openZip(fileURLToPath(new URL(`../fixtures/torch-files/${name}.pt`, import.meta.url)))
  const pickle = whole.entries.find(({ path }) => path.endsWith('data.pkl'))
  if (!pickle) throw new Error('the fixture has no data.pkl')
  const original = await whole.read(pickle)
  await whole.close()
  const sizeBytes = 512
  const storages = {
    path: 'pickle',
    sizeBytes,
    bytesOf: () => sizeBytes,
    read: async (_: unknown, begin: number, end: number) => new Uint8Array(end - begin),
  }
  const ends = { read: 0, refused: 0 }
  for (let seed = 0; seed < mutations; seed++) {
    const bytes = mutated(original, seed)
    try {
      const { value } = readPickle(bytes, 0, { global: torchGlobal, persistent: torchStorage }, 'pickle')
      for (const tensor of contentsOf(value, storages).tensors.values()) {
        expect((await tensor.read()).byteLength, `bytes read of mutation ${seed}`).toBeLessThanOrEqual(sizeBytes)
      }
      ends.read++
    } catch (error) {
      requireOurs(error, seed)
      ends.refused++
    }
  }
  expect(ends.read).toBeGreaterThan(mutations / 100)
  expect(ends.refused).toBeGreaterThan(mutations / 10)
})

function requireOurs(error: unknown, seed: number): void {
  if (error instanceof DpmError && error.code !== 'DPM_INTERNAL') return
  throw new Error(`Mutation ${seed} ended in another error than one of ours.`, { cause: error })
}

async function ownCheckpoint(): Promise<Uint8Array> {
  const path = join(folder, 'own.safetensors')
  const bytes = new Uint8Array(Float32Array.of(1, 2, 3, 4, 5, 6).buffer)
  await writeCheckpointTo(path, {
    settings: { name: 'x', list: [1, { deep: true }] },
    progress: { step: 3 },
    classes: ['a', 'b'],
    image: { channels: 3, height: 8, width: 8 },
    tensors: ['network.w', 'average.0.w'].map((name) => ({
      name,
      dtype: 'float32',
      shape: [2, 3],
      read: async () => bytes,
    })),
  })
  return readFile(path)
}
