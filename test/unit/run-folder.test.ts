import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { appendFile, chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { MetricsLog, type MetricsRecord, readMetrics } from '../../lib/training/metrics-log.js'
import { isRunFolder, RunFolder } from '../../lib/training/run-folder.js'
import { type LockHolder, RunLock } from '../../lib/training/run-lock.js'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dpm-run-'))
})
afterEach(async () => {
  await chmod(folder, 0o755)
  await rm(folder, { recursive: true })
})

/** Runs as a user whom permissions bind; root is not bound by any. */
async function asOrdinaryUser(work: () => Promise<void>): Promise<void> {
  const isRoot = process.geteuid?.() === 0
  if (isRoot) process.seteuid?.(65534)
  try {
    await work()
  } finally {
    if (isRoot) process.seteuid?.(0)
  }
}

describe('a run folder', () => {
  test('is made with all its parts, and opened again with the same settings', async () => {
    const path = join(folder, 'deep', 'run')
    const config = { recipe: 'sprites', budget: { steps: 10 } }
    const run = await RunFolder.create(path, config)
    run.close()
    expect((await readdir(path)).sort()).toEqual(['checkpoints', 'config.json', 'samples', 'tensorboard'])
    expect((await RunFolder.open(path)).config).toEqual(config)
    expect(await isRunFolder(path)).toBe(true)
    expect(await isRunFolder(folder)).toBe(false)
  })

  test('is not made over another run, and the message says how to go on', async () => {
    const run = await RunFolder.create(folder, { a: 1 })
    run.close()
    await writeFile(run.metrics, '{"step":1}\n')
    await expect(RunFolder.create(folder, { a: 2 })).rejects.toMatchObject({
      code: 'DPM_INVALID_ARGUMENT',
      message: expect.stringMatching(/already holds a run\. Continue it with --resume.*--out/),
    })
    expect((await RunFolder.open(folder)).config).toEqual({ a: 1 })
  })

  test('is not made among other files', async () => {
    await writeFile(join(folder, 'thesis.tex'), '')
    await expect(RunFolder.create(folder, {})).rejects.toThrow(
      /not empty and holds no run \(thesis\.tex\)\. Choose a new/,
    )
    expect(await readdir(folder)).toEqual(['thesis.tex'])
  })

  test('is not made over checkpoints whose settings are gone', async () => {
    await mkdir(join(folder, 'checkpoints'))
    await writeFile(join(folder, 'checkpoints', 'step-00000001.safetensors'), '')
    await expect(RunFolder.create(folder, {})).rejects.toThrow(/not empty and holds no run \(checkpoints\)/)
  })

  test('killed before its settings were written can be made again', async () => {
    await mkdir(join(folder, 'checkpoints'))
    await writeFile(join(folder, '.config.json.0123456789ab.part'), '{')
    ;(await RunFolder.create(folder, {})).close()
    ;(await RunFolder.resume(folder)).close()
    expect((await readdir(folder)).sort()).toEqual(['checkpoints', 'config.json', 'samples', 'tensorboard'])
  })

  test('that is not there, or whose settings are broken, cannot be continued', async () => {
    await expect(RunFolder.resume(join(folder, 'none'))).rejects.toMatchObject({
      code: 'DPM_FILE_MISSING',
      message: expect.stringMatching(/There is no run in .*none.*leave out --resume/),
    })
    await writeFile(join(folder, 'config.json'), '[1]')
    await expect(RunFolder.open(folder)).rejects.toMatchObject({ code: 'DPM_FILE_INVALID' })
  })

  test('is open to one trainer at a time, and to any number of readers', async () => {
    const run = await RunFolder.create(folder, {})
    await expect(RunFolder.resume(folder)).rejects.toMatchObject({
      code: 'DPM_RUN_LOCKED',
      details: { pid: process.pid },
    })
    await RunFolder.open(folder)
    run.close()
    ;(await RunFolder.resume(folder)).close()
  })

  test('that cannot be written says so', async () => {
    await writeFile(join(folder, 'file'), '')
    await expect(RunFolder.create(join(folder, 'file'), {})).rejects.toMatchObject({ code: 'DPM_WRITE_FAILED' })
    await rm(join(folder, 'file'))
    ;(await RunFolder.create(folder, { a: 1 })).close()
    await chmod(folder, 0o555)
    await asOrdinaryUser(async () => {
      await expect(RunFolder.resume(folder)).rejects.toMatchObject({
        code: 'DPM_WRITE_FAILED',
        message: expect.stringMatching(/no permission to write there \(EACCES\)/),
      })
      expect((await RunFolder.open(folder)).config).toEqual({ a: 1 })
    })
  })
})

describe('the lock', () => {
  let child: ChildProcess
  beforeEach(async () => {
    child = spawn(process.execPath, ['-e', 'console.log(1); setInterval(() => {}, 1000)'])
    if (child.stdout) await once(child.stdout, 'data')
  })
  afterEach(() => {
    child.kill('SIGKILL')
  })

  /** Locks the folder as the child would have. */
  async function lockAsChild(change: Partial<LockHolder> = {}): Promise<void> {
    const lock = await RunLock.acquire(folder)
    const { holder, path } = lock
    lock.release()
    const stat = await readFile(`/proc/${child.pid}/stat`, 'utf8')
    const processStart = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
    await writeFile(path, JSON.stringify({ ...holder, pid: child.pid, processStart, token: 'child', ...change }))
  }

  test('of a living process is respected; the refusal names it', async () => {
    const since = '2024-05-06T07:08:09.000Z'
    await lockAsChild({ since })
    const failure = await RunLock.acquire(folder).catch((error: unknown) => error)
    expect(failure).toMatchObject({ code: 'DPM_RUN_LOCKED', details: { pid: child.pid, since } })
    expect((failure as Error).message).toMatch(new RegExp(`another process: pid ${child.pid} on .*, since ${since}`))
  })

  test('of a process that was killed is taken over', async () => {
    await lockAsChild()
    child.kill('SIGKILL')
    await once(child, 'exit')
    const lock = await RunLock.acquire(folder)
    expect(JSON.parse(await readFile(lock.path, 'utf8'))).toMatchObject({ pid: process.pid, token: lock.holder.token })
    lock.release()
    expect(await readdir(folder)).toEqual([])
  })

  test('of a dead process whose number another one has now is taken over', async () => {
    await lockAsChild({ processStart: '12' })
    ;(await RunLock.acquire(folder)).release()
  })

  test('from before the machine was started again is taken over', async () => {
    await lockAsChild({ bootId: '00000000-0000-0000-0000-000000000000' })
    ;(await RunLock.acquire(folder)).release()
  })

  test('of another machine or container is respected, since nothing is known of it', async () => {
    for (const change of [{ host: 'elsewhere' }, { pidNamespace: 'pid:[1]' }]) {
      await lockAsChild({ pid: 999_999_999, ...change })
      await expect(RunLock.acquire(folder)).rejects.toThrow(/cannot be seen from here.*delete run\.lock/)
      await rm(join(folder, 'run.lock'))
    }
  })

  test('that is torn is taken over', async () => {
    await writeFile(join(folder, 'run.lock'), '{"pid":')
    ;(await RunLock.acquire(folder)).release()
  })

  test('goes to exactly one of many who meet a dead one at the same time', async () => {
    await lockAsChild({ processStart: '12' })
    const results = await Promise.allSettled(Array.from({ length: 12 }, () => RunLock.acquire(folder)))
    const held = results.filter((result) => result.status === 'fulfilled')
    expect(held).toHaveLength(1)
    expect(await readdir(folder)).toEqual(['run.lock'])
    held[0]?.value.release()
  })

  test('that another process has taken over is not removed by its first holder', async () => {
    const lock = await RunLock.acquire(folder)
    await writeFile(lock.path, JSON.stringify({ ...lock.holder, token: 'other' }))
    lock.release()
    lock.release()
    expect(await readdir(folder)).toEqual(['run.lock'])
  })
})

describe('the metrics log', () => {
  async function records(path: string): Promise<MetricsRecord[]> {
    const found: MetricsRecord[] = []
    for await (const record of readMetrics(path)) found.push(record)
    return found
  }

  test('gives back what was appended, in order, NaN and infinity included', async () => {
    const path = join(folder, 'metrics.jsonl')
    const log = await MetricsLog.open(path)
    const written = [
      { step: 1, loss: 0.1 },
      { step: 2, loss: Number.NaN, name: 'x' },
      { step: 3, loss: Infinity, ok: true },
    ]
    await Promise.all(written.map((record) => log.append(record)))
    await log.close()
    expect(await records(path)).toEqual(written)
    expect((await readFile(path, 'utf8')).split('\n')[1]).toBe('{"step":2,"loss":"NaN","name":"x"}')
  })

  test('drops what came after the step that the run continues from', async () => {
    const path = join(folder, 'metrics.jsonl')
    const first = await MetricsLog.open(path)
    for (const step of [10, 20, 30, 40]) await first.append({ step })
    await first.close()
    const second = await MetricsLog.open(path, 20)
    await second.append({ step: 30, again: true })
    await second.close()
    expect(await records(path)).toEqual([{ step: 10 }, { step: 20 }, { step: 30, again: true }])
  })

  test('mends a last line that a crash cut at any place', async () => {
    const path = join(folder, 'metrics.jsonl')
    const whole = '{"step":1,"note":"é"}\n'
    const last = Buffer.from('{"step":2,"note":"é"}')
    for (let cut = 1; cut <= last.length; cut++) {
      await writeFile(path, whole)
      await appendFile(path, last.subarray(0, cut))
      const log = await MetricsLog.open(path)
      await log.append({ step: 3 })
      await log.close()
      const steps = (await records(path)).map((record) => record.step)
      expect(steps).toEqual(cut === last.length ? [1, 2, 3] : [1, 3])
      expect((await readFile(path, 'utf8')).endsWith('\n{"step":3}\n')).toBe(true)
    }
  })

  test('leaves a spotless file untouched, byte for byte', async () => {
    const path = join(folder, 'metrics.jsonl')
    const text = '{"loss":1e-3, "step":1}\n'
    await writeFile(path, text)
    await (await MetricsLog.open(path, 1)).close()
    expect(await readFile(path, 'utf8')).toBe(text)
  })

  test('says so when there is none to read', async () => {
    await expect(records(join(folder, 'none'))).rejects.toMatchObject({ code: 'DPM_FILE_MISSING' })
  })
})
