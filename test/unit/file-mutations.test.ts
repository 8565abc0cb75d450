/**
 * Two thousand damaged files of every format that is read from elsewhere (`npm run test:slow` has fifty thousand). Each is
 * refused with an error of ours, or read to the end: no other exception, no hang, and no tensor of more bytes than its file.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { readPickle } from '../../lib/checkpoints/pickle/pickle-machine.js'
import { contentsOf } from '../../lib/checkpoints/pickle/pickled-archive.js'
import { torchGlobal, torchStorage } from '../../lib/checkpoints/pickle/torch-globals.js'
import { openZip } from '../../lib/files/zip-archive.js'
import { mutatedFormats } from './mutated-formats.js'
import { mutated } from './mutation.js'
import { requireOurs, tryMutants } from './try-mutants.js'

const formatMutations = 2000
const mutations = 10_000
/** What it takes is a few seconds; this is what a hang is. */
const timeoutMilliseconds = 300_000

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dpm-mutations-'))
})
afterAll(() => rm(folder, { recursive: true }))

test.each(mutatedFormats.map((format) => [format.name, format] as const))(
  '%s',
  async (_, format) => {
    const ends = await tryMutants(format, formatMutations, folder)
    // Neither is everything refused at the door, nor nothing.
    expect(ends.read).toBeGreaterThan(ends.tried / 500)
    expect(ends.refused).toBeGreaterThan(ends.tried / 10)
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
      requireOurs(error, `Mutation ${seed}`)
      ends.refused++
    }
  }
  expect(ends.read).toBeGreaterThan(mutations / 100)
  expect(ends.refused).toBeGreaterThan(mutations / 10)
})
