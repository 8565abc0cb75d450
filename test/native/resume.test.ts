/** A run that is stopped, however it is stopped, and goes on, ends with the bytes of a run that was never stopped. */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  checkpointPath,
  command,
  differences,
  isWritingCheckpoint,
  makeFolder,
  readMetrics,
  start,
  tensorsOf,
  until,
  writeTinyRecipe,
} from './command.js'

const folder = makeFolder()
const straight = join(folder.path, 'straight')
const steps = 40

beforeAll(async () => {
  writeTinyRecipe(folder.path)
  const end = await command(['train', 'tiny.json', '--out', 'straight'], folder.path)
  expect(end).toMatchObject({ code: 0, signal: null })
})

afterAll(() => folder.remove())

/** Goes on with a run to its end and compares every tensor of the last checkpoint with the straight run's. */
async function expectSameEnd(name: string): Promise<void> {
  const end = await command(['train', '--resume', '--out', name], folder.path)
  expect(end, end.stderr).toMatchObject({ code: 0 })
  expect(await differences(checkpointPath(join(folder.path, name), steps), checkpointPath(straight, steps))).toEqual([])
  expect(readMetrics(join(folder.path, name)).map(({ step }) => step)).toEqual(
    readMetrics(straight).map(({ step }) => step),
  )
}

test('the straight run did train: weights, both averages and both moments changed', async () => {
  const end = await tensorsOf(checkpointPath(straight, steps))
  const before = await tensorsOf(checkpointPath(straight, 35))
  const groups = ['network.', 'average.0.', 'average.1.', 'optimizer.first.', 'optimizer.second.']
  for (const group of groups) {
    const changed = [...end].filter(
      ([name, bytes]) => name.startsWith(group) && !bytes.equals(before.get(name) ?? bytes),
    )
    expect(changed.length, group).toBeGreaterThan(50)
  }
})

describe('kill -9', () => {
  test('before the first checkpoint, between checkpoints, again and again', async () => {
    const run = join(folder.path, 'killed')
    const points = [2, 9, 10 + Math.floor(Math.random() * 10), 22 + Math.floor(Math.random() * 12)]
    for (const [attempt, point] of points.entries()) {
      const running = start(
        ['train', ...(attempt === 0 ? ['tiny.json'] : ['--resume']), '--out', 'killed'],
        folder.path,
      )
      await until(running, () => readMetrics(run).some(({ step }) => step >= point))
      running.child.kill('SIGKILL')
      expect((await running.end).signal, `killed at step ${point}`).toBe('SIGKILL')
    }
    await expectSameEnd('killed')
  })

  test('while a checkpoint is being written: the one before counts, the half one is swept away', async () => {
    const run = join(folder.path, 'killed-writing')
    const complete = (): number => {
      const names = existsSync(join(run, 'checkpoints')) ? readdirSync(join(run, 'checkpoints')) : []
      return names.filter((name) => name.startsWith('step-')).length
    }
    for (const earlier of [0, 1, 2]) {
      const args = earlier === 0 ? ['tiny.json'] : ['--resume']
      const running = start(['train', ...args, '--out', 'killed-writing'], folder.path)
      expect(await until(running, () => complete() >= earlier && isWritingCheckpoint(run))).toBe(true)
      running.child.kill('SIGKILL')
      expect((await running.end).signal).toBe('SIGKILL')
    }
    await expectSameEnd('killed-writing')
    expect(readdirSync(join(run, 'checkpoints')).filter((name) => name.endsWith('.part'))).toEqual([])
  })
})

describe('interrupted', () => {
  test.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const)(
    'once by %s: a checkpoint is written, exit code %d, and the run goes on from there',
    async (signal, code) => {
      const name = `stopped-${signal}`
      const run = join(folder.path, name)
      const running = start(['train', 'tiny.json', '--out', name], folder.path)
      await until(running, () => readMetrics(run).some(({ step }) => step >= 9))
      running.child.kill(signal)
      const end = await running.end
      expect(end, end.stderr).toMatchObject({ code, signal: null, stdout: '' })
      const stopped = Number(/Stopped after step (\d+): \S+step-(\d+)\.safetensors\./.exec(end.stderr)?.[1])
      expect(stopped).toBeGreaterThanOrEqual(9)
      expect(existsSync(checkpointPath(run, stopped))).toBe(true)
      expect(end.stderr).toContain(`train --resume --out ${name}`)
      await expectSameEnd(name)
    },
  )

  test('twice: it exits at once, and the run goes on from the checkpoint before', async () => {
    const run = join(folder.path, 'stopped-twice')
    const running = start(['train', 'tiny.json', '--out', 'stopped-twice'], folder.path)
    await until(running, () => readMetrics(run).some(({ step }) => step >= 9))
    running.child.kill('SIGINT')
    running.child.kill('SIGTERM')
    expect((await running.end).code).toBeGreaterThanOrEqual(130)
    await expectSameEnd('stopped-twice')
  })
})

test('a finished run has nothing left to train, and goes on when its budget grows', async () => {
  const done = await command(['train', '--resume', '--out', 'straight'], folder.path)
  expect(done).toMatchObject({ code: 0 })
  expect(done.stdout).toContain('Nothing is left to train: all 40 steps')
  expect(
    await command(['train', 'tiny.json', '--out', 'longer', '--set', 'budget.steps=3'], folder.path),
  ).toMatchObject({ code: 0 })
  const longer = await command(
    ['train', '--resume', '--out', 'longer', '--set', 'budget.steps=6', '--json'],
    folder.path,
  )
  expect(JSON.parse(longer.stdout)).toMatchObject({ step: 6, steps: 3 })
})

test('one folder is trained by one process', async () => {
  const run = join(folder.path, 'shared')
  const running = start(['train', 'tiny.json', '--out', 'shared', '--set', 'budget.steps=100000'], folder.path)
  expect(await until(running, () => readMetrics(run).length > 0)).toBe(true)
  const resumed = await command(['train', '--resume', '--out', 'shared'], folder.path)
  expect(resumed).toMatchObject({ code: 1, stdout: '' })
  expect(resumed.stderr).toMatch(/DPM_RUN_LOCKED/)
  expect(resumed.stderr).toContain(String(running.child.pid))
  const fresh = await command(['train', 'tiny.json', '--out', 'shared'], folder.path)
  expect(fresh).toMatchObject({ code: 2 })
  expect(fresh.stderr).toMatch(/already holds a run.*--resume/)
  running.child.kill('SIGKILL')
  await running.end
})

/** Mounting needs root, and a container may forbid it even then. */
function mounted(args: readonly string[], path: string): boolean {
  mkdirSync(path, { recursive: true })
  try {
    execFileSync('mount', [...args, path], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

test('a full disk is named, spares the last checkpoint, and the run goes on when there is room again', async (context) => {
  const disk = join(folder.path, 'disk')
  // Room for two checkpoints of some 600 kB, and not for a third beside them.
  if (!mounted(['-t', 'tmpfs', '-o', 'size=1600k', 'tmpfs'], disk))
    return context.skip('a file system cannot be mounted here')
  try {
    const full = await command(['train', 'tiny.json', '--out', 'disk/run'], folder.path)
    expect(full).toMatchObject({ code: 1, stdout: '' })
    expect(full.stderr).toMatch(/error: .*the disk is full.*DPM_WRITE_FAILED/)
    execFileSync('mount', ['-o', 'remount,size=20m', disk])
    await expectSameEnd('disk/run')
  } finally {
    execFileSync('umount', ['-l', disk])
  }
})

test('a read-only run folder can be drawn from and inspected, not trained', async (context) => {
  const readOnly = join(folder.path, 'read-only')
  if (!mounted(['--bind', straight], readOnly)) return context.skip('a folder cannot be mounted here')
  try {
    execFileSync('mount', ['-o', 'remount,ro,bind', readOnly])
    expect(() => writeFileSync(join(readOnly, 'x'), '')).toThrow(/EROFS/)
    const trained = await command(['train', '--resume', '--out', 'read-only'], folder.path)
    expect(trained).toMatchObject({ code: 1 })
    expect(trained.stderr).toMatch(/read-only.*DPM_WRITE_FAILED/)
    const drawn = await command(['sample', 'read-only', '--count', '2', '--steps', '2'], folder.path)
    expect(drawn.stderr).toMatch(/read-only.*DPM_WRITE_FAILED/)
    expect(
      await command(['sample', 'read-only', '--count', '2', '--steps', '2', '--out', 'two.png'], folder.path),
    ).toMatchObject({ code: 0 })
    expect(await command(['inspect', 'read-only'], folder.path)).toMatchObject({ code: 0 })
  } finally {
    execFileSync('umount', ['-l', readOnly])
  }
})
