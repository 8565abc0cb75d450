/** What may lie in a run folder: what a new run is begun over, what is swept, and what never goes. */
import { spawnSync } from 'node:child_process'
import { mkdir, mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { runParts } from '../../lib/files/output-places.js'
import { processPlace } from '../../lib/files/process-identity.js'
import { RunFolder } from '../../lib/training/run-folder.js'
import { runFiles, runFolders } from '../../lib/training/run-places.js'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dpm-places-'))
})
afterEach(async () => {
  await rm(folder, { recursive: true })
})

/** The number of a process that has just ended. */
function deadPid(): number {
  return spawnSync(process.execPath, ['-e', '']).pid
}

const inside = async (path: string): Promise<string[]> => (await readdir(path, { recursive: true })).sort()
const blank = ['checkpoints', 'config.json', 'samples', 'tensorboard']

test('what a run folder consists of is one list: what no output may replace is all that is not shared', () => {
  const folders = Object.entries(runFolders).flatMap(([name, { shared }]) => (shared ? [] : [name]))
  expect([...runParts].sort()).toEqual([...Object.values(runFiles), ...folders].sort())
})

describe('a folder with no update', () => {
  test('is taken up again with other settings', async () => {
    ;(await RunFolder.create(folder, { a: 1 })).close()
    await writeFile(join(folder, 'metrics.jsonl'), '')
    await writeFile(join(folder, 'tensorboard', 'events.out.tfevents.1.host.1'), 'x')
    await writeFile(join(folder, 'non-finite-step-00000001.safetensors'), 'x')
    const run = await RunFolder.create(folder, { a: 2 })
    expect((await RunFolder.open(folder)).config).toEqual({ a: 2 })
    expect(await inside(folder)).toEqual([...blank, 'non-finite-step-00000001.safetensors', 'run.lock'].sort())
    run.close()
  })

  test.each([
    ['metrics.jsonl', '{"step":1}\n'],
    ['checkpoints/step-00000001.safetensors', 'torn'],
    ['checkpoints/step-00000001.safetensors.broken', 'torn'],
    ['checkpoints/latest.json', '{}'],
    ['samples/step-00000001.png', ''],
    ['samples/mine.txt', ''],
    ['tensorboard/mine.txt', ''],
    ['skipped.jsonl', '{}\n'],
    ['notes.txt', ''],
  ])('is not, where there is %s', async (name, text) => {
    ;(await RunFolder.create(folder, { a: 1 })).close()
    await writeFile(join(folder, name), text)
    await expect(RunFolder.create(folder, { a: 2 })).rejects.toMatchObject({ code: 'DPM_INVALID_ARGUMENT' })
    await expect(RunFolder.refuseUsed(folder)).rejects.toMatchObject({ code: 'DPM_INVALID_ARGUMENT' })
    expect((await RunFolder.open(folder)).config).toEqual({ a: 1 })
    expect(await inside(folder)).toContain(name)
  })

  test('is not where a config.json is of someone else', async () => {
    await writeFile(join(folder, 'config.json'), '{"mine":true}')
    await expect(RunFolder.create(folder, {})).rejects.toMatchObject({ code: 'DPM_INVALID_ARGUMENT' })
    expect(await inside(folder)).toEqual(['config.json'])
  })

  test('is not while someone holds it, which is said before anything is read', async () => {
    const run = await RunFolder.create(folder, { a: 1 })
    await expect(RunFolder.refuseUsed(folder)).rejects.toMatchObject({ code: 'DPM_RUN_LOCKED' })
    await expect(RunFolder.create(folder, {})).rejects.toMatchObject({ code: 'DPM_RUN_LOCKED' })
    run.close()
  })
})

describe('a run that is given up before its first update', () => {
  test('leaves what was there, and no more', async () => {
    for (const [path, left] of [
      ['new', []],
      ['deep/er/new', ['deep', 'deep/mine.txt']],
      ['was/there', ['was', 'was/there']],
    ] as const) {
      if (path === 'was/there') await mkdir(join(folder, path), { recursive: true })
      const run = await RunFolder.create(join(folder, path), {})
      if (path.startsWith('deep')) await writeFile(join(folder, 'deep', 'mine.txt'), '')
      await writeFile(run.metrics, '')
      expect(await run.discard()).toBe(true)
      expect(await inside(folder)).toEqual(left)
      await rm(join(folder, path.split('/')[0] ?? ''), { recursive: true, force: true })
    }
  })

  test('stays where there is more', async () => {
    const path = join(folder, 'run')
    const run = await RunFolder.create(path, {})
    await writeFile(join(path, 'notes.txt'), '')
    expect(await run.discard()).toBe(false)
    run.close()
    expect(await inside(path)).toEqual([...blank, 'notes.txt'].sort())
  })

  test('keeps the batch that was not finite', async () => {
    const path = join(folder, 'run')
    const run = await RunFolder.create(path, {})
    await writeFile(join(path, 'non-finite-step-00000001.safetensors'), '')
    await run.discard()
    expect(await inside(path)).toEqual(['non-finite-step-00000001.safetensors'])
    ;(await RunFolder.create(path, {})).close()
  })

  test('that went on with another is never given up', async () => {
    ;(await RunFolder.create(folder, {})).close()
    const run = await RunFolder.resume(folder)
    expect(await run.discard()).toBe(false)
    run.close()
    expect(await inside(folder)).toEqual(blank)
  })
})

describe('what a kill has left', () => {
  const temporary = (pid: number, place = processPlace()): string => `.step-1.png.${pid}-${place}-0123456789ab.part`
  const holder = (pid: number): string => {
    const { host, pidNamespace, bootId } = { host: '', pidNamespace: null, bootId: null }
    return JSON.stringify({ pid, host, since: '', processStart: null, bootId, pidNamespace, token: 'x' })
  }

  test('is swept from every place when the run goes on', async () => {
    ;(await RunFolder.create(folder, {})).close()
    const pid = deadPid()
    for (const place of ['.', ...Object.keys(runFolders)]) {
      await mkdir(join(folder, place), { recursive: true })
      await writeFile(join(folder, place, temporary(pid)), '')
    }
    for (const name of ['run.lock.0123456789ab', 'run.lock.over.x']) {
      await writeFile(join(folder, name), '{"pid":')
      await utimes(join(folder, name), 1, 1)
    }
    await mkdir(join(folder, 'run.lock.fedcba987654'))
    await utimes(join(folder, 'run.lock.fedcba987654'), 1, 1)
    ;(await RunFolder.resume(folder)).close()
    expect(await inside(folder)).toEqual([...blank, 'evaluation', 'snapshots'].sort())
  })

  test('is left alone where a living process may be writing it, or where it is not ours', async () => {
    ;(await RunFolder.create(folder, {})).close()
    const kept = [
      join('samples', temporary(process.pid)),
      join('samples', temporary(deadPid(), '00000000')),
      join('samples', '.mine.part'),
      temporary(process.pid),
      'run.lock.mine',
      join('checkpoints', '.hidden'),
    ]
    for (const name of kept) await writeFile(join(folder, name), name === 'run.lock.mine' ? holder(process.pid) : '')
    ;(await RunFolder.resume(folder)).close()
    expect(await inside(folder)).toEqual([...blank, ...kept].sort())
  })
})
