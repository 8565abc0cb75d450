/**
 * Fifty thousand damaged files of every format that is read from elsewhere. Each is read or refused with an error of ours, in
 * less than ten seconds, by a process that never takes more than 1.5 GB.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { mutatedFormats } from '../unit/mutated-formats.js'
import { tryMutants } from '../unit/try-mutants.js'

const mutations = 50_000
const hangSeconds = 10
const largestBytes = 1.5e9

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dpm-mutations-'))
})
afterAll(() => rm(folder, { recursive: true }))

test.each(mutatedFormats.map((format) => [format.name, format] as const))('%s', async (_, format) => {
  const ends = await tryMutants(format, mutations, folder, hangSeconds)
  expect(ends.read).toBeGreaterThan(ends.tried / 500)
  expect(ends.refused).toBeGreaterThan(ends.tried / 10)
  // The most that this process has ever held, in KiB.
  expect(process.resourceUsage().maxRSS * 1024).toBeLessThan(largestBytes)
})
