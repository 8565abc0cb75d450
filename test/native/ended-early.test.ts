/** However a run ends before its budget, what was trained is in a checkpoint first, and it goes on to the same end. */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { memory, Trainer } from '../../lib/index.js'
import type { RunOptions } from '../../lib/training/run-options.js'
import { checkpointPath, command, differences, makeFolder, readMetrics, start, until } from './command.js'

const folder = makeFolder()
const straight = join(folder.path, 'straight')
const steps = 20

const options = (changes: Partial<RunOptions> = {}): RunOptions => ({
  data: { kind: 'points', law: 'moons', count: 64 },
  network: { kind: 'mlp', width: 16, depth: 1 },
  diffusion: { schedule: { kind: 'linear', steps: 50, scaleToSteps: true }, clip: { kind: 'none' } },
  training: { batch: 8, learningRate: { peak: 1e-2 }, averaging: [{ kind: 'power', deviation: 0.1 }] },
  budget: { steps },
  previews: { everySteps: 0 },
  checkpoints: { everySteps: 100 },
  log: { everySteps: 3 },
  device: 'cpu',
  threads: 1,
  ...changes,
})

beforeAll(async () => {
  await using trainer = await Trainer.create({ ...options(), out: straight })
  await trainer.train()
})
afterAll(() => folder.remove())
afterEach(() => {
  expect(memory()).toMatchObject({ tensors: 0, networks: 0, others: 0, bytes: 0, jobs: 0 })
})

/** Curves without what is measured. */
const curves = (run: string) => readMetrics(run).map(({ seconds: _, imagesPerSecond: __, ...rest }) => rest)

async function expectSameEnd(out: string): Promise<void> {
  await using trainer = await Trainer.create({ ...options(), out, resume: true })
  await trainer.train()
  expect(await differences(checkpointPath(out, steps), checkpointPath(straight, steps))).toEqual([])
  expect(curves(out)).toEqual(curves(straight))
}

class OwnError extends RangeError {}

describe('an error of the caller', () => {
  test.each([
    [
      'thrown by onStep',
      (trainer: Trainer, error: Error) =>
        trainer.train({
          onStep: ({ step }) => {
            if (step === 7) throw error
          },
        }),
    ],
    [
      'that an async onStep rejects with',
      (trainer: Trainer, error: Error) =>
        trainer.train({
          onStep: async ({ step }) => {
            if (step === 7) throw error
          },
        }),
    ],
    [
      'in the body of the loop',
      async (trainer: Trainer, error: Error) => {
        for await (const { step } of trainer.steps()) if (step === 7) throw error
      },
    ],
  ])('%s comes out as it is, behind a checkpoint', async (name, run) => {
    const out = join(folder.path, name.replaceAll(' ', '-'))
    const warnings: string[] = []
    const error = new OwnError('mine')
    {
      await using trainer = await Trainer.create({ ...options(), out, onWarning: (text) => warnings.push(text) })
      await expect(run(trainer, error)).rejects.toBe(error)
      expect(trainer.step).toBeGreaterThanOrEqual(7)
      expect(trainer.stopped).toEqual({
        step: trainer.step,
        checkpoint: checkpointPath(out, trainer.step),
        failure: undefined,
        cure: {},
      })
      expect(warnings.join()).toMatch(name.includes('onStep') ? /go on with --resume/ : /^$/)
    }
    await expectSameEnd(out)
  })

  test.each([
    [
      'throws',
      (error: Error) => () => {
        throw error
      },
    ],
    ['rejects with', (error: Error) => () => Promise.reject(error) as never],
  ])('that onWarning %s comes out as it is, behind a checkpoint', async (name, failing) => {
    const out = join(folder.path, `warned-${name.length}`)
    const error = new OwnError('mine')
    await using trainer = await Trainer.create({ ...options(), out, onWarning: failing(error) })
    Object.assign(trainer.dataSet, { remarks: ['a frame is not read'] })
    await expect(trainer.train()).rejects.toBe(error)
    expect(trainer.stopped?.checkpoint).toBe(checkpointPath(out, trainer.step))
  })

  test('that leaves the loop by break leaves a checkpoint too', async () => {
    const out = join(folder.path, 'break')
    {
      await using trainer = await Trainer.create({ ...options(), out })
      for await (const { step } of trainer.steps()) if (step === 10) break
      expect(trainer.stopped?.checkpoint).toBe(checkpointPath(out, trainer.step))
    }
    await expectSameEnd(out)
  })
})

test('a checkpoint in the loop counts the updates under way: the curves stay those of a straight run', async () => {
  const out = join(folder.path, 'in-the-loop')
  await using trainer = await Trainer.create({ ...options(), out })
  const seen: number[] = []
  for await (const { step } of trainer.steps()) {
    seen.push(step)
    if (step % 4 === 0) expect(await trainer.checkpoint()).toBe(checkpointPath(out, trainer.step))
  }
  expect(seen).toEqual(Array.from({ length: steps }, (_, i) => i + 1))
  await trainer.checkpoint()
  expect(curves(out)).toEqual(curves(straight))
  expect(await differences(checkpointPath(out, steps), checkpointPath(straight, steps))).toEqual([])
})

describe('where the run folder cannot be written any more', () => {
  /** Checkpoints go to a folder that is a file now: nothing can be written there, whoever asks. */
  function spoil(out: string): void {
    execFileSync('rm', ['-r', join(out, 'checkpoints')])
    writeFileSync(join(out, 'checkpoints'), '')
  }

  test('the first error comes out, and the second is told with it', async () => {
    const out = join(folder.path, 'spoiled')
    await using trainer = await Trainer.create({ ...options(), out })
    const { dataSet } = trainer
    const read = dataSet.read.bind(dataSet)
    let batches = 0
    dataSet.read = async (indices, into, signal) => {
      batches += 1
      await read(indices, into, signal)
      if (batches === 6) into[0] = Number.NaN
    }
    const training = trainer.train({
      onStep: ({ step }) => {
        if (step === 3) spoil(out)
      },
    })
    await expect(training).rejects.toMatchObject({
      code: 'DPM_NON_FINITE',
      message: expect.stringMatching(/step 6 is not finite.*No checkpoint of step 5 could be written: Could not write/),
    })
    expect(trainer.stopped).toMatchObject({ step: 5, checkpoint: undefined, failure: { code: 'DPM_WRITE_FAILED' } })
  })

  test('an error of the caller comes out, and a warning tells of the second; so does one when the loop is left', async () => {
    const out = join(folder.path, 'spoiled-too')
    const warnings: string[] = []
    await using trainer = await Trainer.create({ ...options(), out, onWarning: (text) => warnings.push(text) })
    const error = new OwnError('mine')
    const onStep = (): void => {
      spoil(out)
      throw error
    }
    await expect(trainer.train({ onStep })).rejects.toBe(error)
    expect(warnings.join('\n')).toMatch(/Could not write .*\n.*No checkpoint of step [12] could be written/)
    const leave = async (): Promise<void> => {
      for await (const _ of trainer.steps()) break
    }
    await expect(leave()).rejects.toMatchObject({ code: 'DPM_WRITE_FAILED' })
    // The folder must go with the test.
    execFileSync('rm', [join(out, 'checkpoints')])
  })
})

test('a picture of the run that cannot be written ends it with a checkpoint, and says how to go on without', async () => {
  const out = join(folder.path, 'no-pictures')
  const previews = { everySteps: 8, columns: 1, rows: 1, steps: 2, animation: false }
  await using trainer = await Trainer.create({ ...options({ previews }), out })
  execFileSync('rm', ['-r', join(out, 'samples')])
  writeFileSync(join(out, 'samples'), '')
  await expect(trainer.train()).rejects.toMatchObject({
    code: 'DPM_WRITE_FAILED',
    message: expect.stringMatching(
      /^The picture of step 8 could not be drawn\. .*8 steps.* and previews\.everySteps=0\.$/,
    ),
  })
  expect(trainer.stopped?.checkpoint).toBe(checkpointPath(out, 8))
})

test('examples that cannot be decoded and are skipped are told: each once, and after a resume too', async () => {
  const out = join(folder.path, 'skipped')
  const corruptOf = (step: number) => [
    { index: 3, place: 'b.jpg', reason: 'torn' },
    ...(step > 4 ? [{ index: 1, place: 'a.jpg', reason: 'no picture' }] : []),
  ]
  const counts: number[] = []
  for (const resume of [false, true]) {
    await using trainer = await Trainer.create({ ...options(), budget: { steps: resume ? 12 : 8 }, out, resume })
    Object.defineProperty(trainer.dataSet, 'corrupt', { get: () => corruptOf(trainer.step) })
    await trainer.train({ onStep: ({ skippedExamples }) => void counts.push(skippedExamples) })
    expect(trainer.skipped.map(({ place }) => place)).toEqual(['b.jpg', 'a.jpg'])
  }
  expect([counts[0], counts[3], counts.at(-1)]).toEqual([1, 1, 2])
  expect(readFileSync(join(out, 'skipped.jsonl'), 'utf8')).toBe(
    '{"place":"b.jpg","reason":"torn","index":3}\n{"place":"a.jpg","reason":"no picture","index":1}\n',
  )
})

describe('the command line', () => {
  const recipe = (name: string, changes: Partial<RunOptions>): void =>
    writeFileSync(join(folder.path, `${name}.json`), JSON.stringify(options(changes)))

  test('a reader of the output that leaves ends the run as Ctrl-C does', async () => {
    recipe('endless', { budget: { steps: 1_000_000 }, log: { everySteps: 1 }, checkpoints: { everySteps: 50 } })
    const running = start(['train', 'endless.json', '--out', 'unread'], folder.path)
    const run = join(folder.path, 'unread')
    expect(await until(running, () => readMetrics(run).length > 3)).toBe(true)
    running.child.stderr?.destroy()
    const { code } = await running.end
    expect(code).toBe(0)
    const last = readMetrics(run).at(-1)?.step ?? 0
    // Not the last that was due, which is of step 50, 100 …
    expect(Math.max(...checkpointsOf(run))).toBeGreaterThanOrEqual(last)
  })

  test('SIGHUP, told twice as a closing terminal does, leaves a checkpoint', async () => {
    const running = start(['train', 'endless.json', '--out', 'hung-up'], folder.path)
    const run = join(folder.path, 'hung-up')
    expect(await until(running, () => readMetrics(run).length > 3)).toBe(true)
    running.child.kill('SIGHUP')
    running.child.kill('SIGHUP')
    const { code, stderr } = await running.end
    expect(code, stderr).toBe(129)
    expect(stderr).toContain('Go on with: npx dpm-torch train --resume --out hung-up')
    expect(Math.max(...checkpointsOf(run))).toBeGreaterThanOrEqual(readMetrics(run).at(-1)?.step ?? 0)
  })

  test('a start that fails before its first update leaves no folder; one in a folder that was there leaves that', async () => {
    mkdirSync(join(folder.path, 'pictures'))
    writeFileSync(join(folder.path, 'pictures', 'torn.png'), 'no picture')
    const data = { kind: 'image-folder', folder: 'pictures', size: 8 } as const
    recipe('torn', { data, diffusion: {}, network: { kind: 'mlp', width: 8, depth: 1 } })
    mkdirSync(join(folder.path, 'there'))
    for (const out of ['deep/er', 'there']) {
      const end = await command(['train', 'torn.json', '--out', out], folder.path)
      expect(end.code, end.stderr).toBe(1)
      expect(end.stderr).toMatch(/the picture .*torn\.png.*begin again with data\.corrupt=skip/)
    }
    expect(existsSync(join(folder.path, 'deep'))).toBe(false)
    expect(readdirSync(join(folder.path, 'there'))).toEqual([])
  })

  test('--resume refuses where no checkpoint is whole, and touches nothing', async () => {
    recipe('short', { budget: { steps: 6 }, checkpoints: { everySteps: 3 } })
    await command(['train', 'short.json', '--out', 'broken'], folder.path)
    for (const step of [3, 6]) writeFileSync(checkpointPath(join(folder.path, 'broken'), step), 'torn')
    const end = await command(['train', '--resume', '--out', 'broken'], folder.path)
    expect(end).toMatchObject({ code: 1, stdout: '' })
    expect(end.stderr).toMatch(/step-00000006\.safetensors: .*\nstep-00000003\.safetensors: .*\n.*\[DPM_FILE_INVALID\]/)
    for (const step of [3, 6])
      expect(readFileSync(checkpointPath(join(folder.path, 'broken'), step), 'utf8')).toBe('torn')
  })

  function checkpointsOf(run: string): number[] {
    return readdirSync(join(run, 'checkpoints')).flatMap((name) => /^step-(\d+)/.exec(name)?.slice(1).map(Number) ?? [])
  }
})
