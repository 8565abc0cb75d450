/** Averages made after a run, of what it has stored on its way. */
import { copyFileSync, existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { Diffusion, memory, reconstructAverage, Trainer } from '../../lib/index.js'
import type { RunOptions } from '../../lib/training/run-options.js'
import { command, makeFolder, tensorsOf, tinyOptions, writeIdx } from './command.js'
import { relativeDistance } from './training-batch.js'

const folder = makeFolder()
const steps = 160
const deviations = [0.05, 0.1, 0.075, 0.14]
const runFolder = join(folder.path, 'averaged')
const out = join(folder.path, 'average.safetensors')

const options = (changes: Partial<RunOptions> = {}): RunOptions => ({
  ...tinyOptions(folder.path),
  training: { batch: 4, averaging: deviations.map((deviation) => ({ kind: 'power', deviation })) },
  previews: { everySteps: 0 },
  checkpoints: { everySteps: 1000, snapshots: { everySteps: 8 } },
  budget: { steps },
  device: 'cpu',
  ...changes,
})

function copyRun(name: string, change: (path: string) => void): string {
  const to = join(folder.path, name)
  for (const inside of ['snapshots', 'checkpoints']) {
    mkdirSync(join(to, inside), { recursive: true })
    for (const file of readdirSync(join(runFolder, inside)))
      copyFileSync(join(runFolder, inside, file), join(to, inside, file))
  }
  change(to)
  return to
}

beforeAll(async () => {
  writeIdx(folder.path)
  await using trainer = await Trainer.create({ ...options(), out: runFolder })
  await trainer.train()
})
afterAll(() => folder.remove())
afterEach(() => {
  expect(memory()).toMatchObject({ tensors: 0, networks: 0, others: 0, bytes: 0, jobs: 0 })
})

/** Of all numbers of an averaged copy. */
async function copyOf(path: string, index: number): Promise<number[]> {
  const tensors = await tensorsOf(path)
  const prefix = `average.${index}.`
  const names = [...tensors.keys()].filter((name) => name.startsWith(prefix)).sort()
  return names.flatMap((name) => {
    const bytes = Uint8Array.from(tensors.get(name) ?? [])
    return [...new Float32Array(bytes.buffer)]
  })
}

const snapshot = (step: number): string =>
  join(runFolder, 'snapshots', `step-${String(step).padStart(8, '0')}.safetensors`)

describe('a run with snapshots', () => {
  test('has files with the averaged copies alone, at their steps', async () => {
    const files = readdirSync(join(runFolder, 'snapshots'))
    expect(files).toHaveLength(steps / 8)
    const names = [...(await tensorsOf(snapshot(80))).keys()]
    expect(names.every((name) => name.startsWith('average.'))).toBe(true)
  })

  test.each([
    [steps, 2],
    [80, 2],
    [steps, 3],
  ])('at step %d gives the average %d that it kept', async (at, index) => {
    // All but exactly one of those stored: that one alone counts.
    const deviation = (deviations[index] ?? 0) + 1e-9
    const made = await reconstructAverage(runFolder, { deviation, at, out })
    expect(made).toMatchObject({ step: at, path: out, stored: (at / 8) * deviations.length })
    const [found, kept] = [await copyOf(out, 0), await copyOf(snapshot(at), index)]
    expect(relativeDistance(found, kept)).toBeLessThan(1e-5)
  })

  test('that stored two averages gives a third to a hundredth of how far the two lie apart', async () => {
    const two = join(folder.path, 'two')
    const training = { batch: 4, averaging: [0.05, 0.1].map((deviation) => ({ kind: 'power', deviation }) as const) }
    await using trainer = await Trainer.create({ ...options({ training }), out: two })
    await trainer.train()
    await reconstructAverage(two, { deviation: 0.075, out })
    const [made, kept] = [await copyOf(out, 0), await copyOf(snapshot(steps), 2)]
    const [narrow, wide] = [await copyOf(snapshot(steps), 0), await copyOf(snapshot(steps), 1)]
    const between = relativeDistance(narrow, wide)
    expect(between).toBeGreaterThan(1e-4)
    expect(relativeDistance(made, kept) / between).toBeLessThan(1e-2)
  })

  test('is drawn from: the file is a checkpoint of its own', async () => {
    await reconstructAverage(runFolder, { deviation: 0.08, out })
    using model = await Diffusion.load(out, { device: 'cpu' })
    expect(model.step).toBe(steps)
    expect((await model.sample({ count: 1, steps: 2 })).length).toBe(1)
  })

  test('resumed from a checkpoint forgets the snapshots after it', async () => {
    const back = join(folder.path, 'back')
    {
      await using trainer = await Trainer.create({ ...options({ budget: { steps: 24 } }), out: back })
      for await (const { step } of trainer.steps()) if (step === 12) break
      await trainer.checkpoint()
    }
    copyFileSync(snapshot(24), join(back, 'snapshots', 'step-00000024.safetensors'))
    await using resumed = await Trainer.create({ resume: true, out: back })
    // Updates under way count too.
    expect(resumed.step).toBeLessThan(16)
    expect(existsSync(join(back, 'snapshots', 'step-00000024.safetensors'))).toBe(false)
    expect(existsSync(join(back, 'snapshots', 'step-00000008.safetensors'))).toBe(true)
  })
})

describe('the command', () => {
  test('says what it made, and how far off it is', async () => {
    const end = await command(
      ['average', runFolder, '--deviation', '0.12', '--at', '96', '--out', out, '--json'],
      folder.path,
    )
    expect(end).toMatchObject({ code: 0, stderr: '' })
    expect(JSON.parse(end.stdout)).toMatchObject({ path: out, step: 96, deviation: 0.12, stored: 48 })
  })

  test.each([
    [['--deviation', '0.4'], 2, /above 0 and below 0.2887 for `deviation` but received 0.4/],
    [['--deviation', '0.1', '--at', '4'], 2, /a step from 8 to 160.*received 4/],
    [['--deviation', '0.1', '--out', 'average.bin'], 2, /ends in .safetensors for `out`/],
  ])('refuses %j', async (flags, code, message) => {
    const given = flags.includes('--out') ? flags : [...flags, '--out', 'x.safetensors']
    const end = await command(['average', runFolder, ...given], folder.path)
    expect(end.code).toBe(code)
    expect(end.stderr).toMatch(message)
    expect(existsSync(join(folder.path, 'x.safetensors'))).toBe(false)
  })
})

describe('refused', () => {
  test('snapshots of a run without power-function averages', async () => {
    const training = { batch: 4, averaging: [{ kind: 'constant' as const, decay: 0.99 }] }
    await expect(Trainer.create(options({ training }))).rejects.toMatchObject({
      code: 'DPM_INVALID_OPTION',
      message: expect.stringContaining('`training.averaging` has none'),
    })
  })

  test('a folder in which nothing is stored', async () => {
    const empty = copyRun('empty', (path) => {
      rmSync(join(path, 'snapshots'), { recursive: true })
      rmSync(join(path, 'checkpoints'), { recursive: true })
    })
    await expect(reconstructAverage(empty, { deviation: 0.1, out })).rejects.toMatchObject({ code: 'DPM_FILE_MISSING' })
  })

  test('a snapshot of another network', async () => {
    const other = join(folder.path, 'other')
    const network = { kind: 'unet' as const, channels: 4, multipliers: [1], blocks: 1, groups: 1 }
    {
      await using trainer = await Trainer.create({ ...options({ network, budget: { steps: 8 } }), out: other })
      await trainer.train()
    }
    const mixed = copyRun('mixed', (path) => {
      const name = 'step-00000008.safetensors'
      copyFileSync(join(other, 'snapshots', name), join(path, 'snapshots', name))
    })
    await expect(reconstructAverage(mixed, { deviation: 0.1, out })).rejects.toMatchObject({
      code: 'DPM_FILE_INVALID',
      message: expect.stringContaining('of another network'),
    })
  })
})
