/** One holder of a run folder, whatever the file system lacks and whoever is killed. */
import { mkdir, mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { RunLock } from '../../lib/training/run-lock.js'
import { contend } from './lock-holders.js'

let folder: string
beforeEach(async () => {
  folder = join(await mkdtemp(join(tmpdir(), 'dpm-lock-')), 'run')
  await mkdir(folder)
})
afterEach(async () => {
  await rm(join(folder, '..'), { recursive: true })
})

test.each([
  ['with hard links', false],
  ['without hard links', true],
])('processes that are killed now and then: never two holders, %s', async (_, linkless) => {
  expect(await contend(folder, { processes: 3, count: 12, kills: 3, linkless })).toEqual({ faults: [], kills: 3 })
  // Nothing but what a killed process may have left, which the next holder of the folder sweeps.
  const lock = await RunLock.acquire(folder)
  lock.release()
  expect(await readdir(folder)).not.toContain('run.lock')
})

describe('a lock that cannot be read', () => {
  test.each(['', '{"pid":', '[]'])('%j is held while it is young, since its writer may not be done', async (text) => {
    const path = join(folder, 'run.lock')
    await writeFile(path, text)
    // However old the clock of its file system says it is.
    await utimes(path, 1, 1)
    const acquired = RunLock.acquire(folder)
    const holder = {
      pid: process.pid,
      host: 'elsewhere',
      since: 'now',
      processStart: null,
      bootId: null,
      pidNamespace: null,
    }
    await new Promise((done) => setTimeout(done, 300))
    await writeFile(path, JSON.stringify({ ...holder, token: 'slow' }))
    await expect(acquired).rejects.toMatchObject({ code: 'DPM_RUN_LOCKED', details: { host: 'elsewhere' } })
  })

  test('that stays so is taken over, by one of many', async () => {
    await writeFile(join(folder, 'run.lock'), '')
    const results = await Promise.allSettled(Array.from({ length: 8 }, () => RunLock.acquire(folder)))
    const held = results.filter((result) => result.status === 'fulfilled')
    expect(held).toHaveLength(1)
    expect(await readdir(folder)).toEqual(['run.lock'])
    held[0]?.value.release()
    expect(await readdir(folder)).toEqual([])
  })
})
