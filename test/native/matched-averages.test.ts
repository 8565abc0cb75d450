/** Averaged copies on resume are matched by what they are; a new one begins as the trained weights, and all follow what is written. */
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { reconstructAverage, Tensor, Trainer } from '../../lib/index.js'
import type { AveragingSettings } from '../../lib/training/averaging.js'
import type { RunOptions } from '../../lib/training/run-options.js'
import { checkpointPath, makeFolder, tensorsOf } from './command.js'

const folder = makeFolder()
afterAll(() => folder.remove())

const still: AveragingSettings = { kind: 'constant', decay: 1 }
const quick: AveragingSettings = { kind: 'constant', decay: 0 }
const slow: AveragingSettings = { kind: 'constant', decay: 0.5 }
const power: AveragingSettings = { kind: 'power', deviation: 0.1 }

const options = (averaging: readonly AveragingSettings[], steps: number): RunOptions => ({
  data: { kind: 'points', law: 'moons', count: 64 },
  network: { kind: 'mlp', width: 8, depth: 1 },
  diffusion: { schedule: { kind: 'linear', steps: 50 }, clip: { kind: 'none' } },
  training: { batch: 8, learningRate: { peak: 1e-2 }, averaging: [...averaging] },
  budget: { steps },
  previews: { everySteps: 0 },
  checkpoints: { everySteps: 100, keep: { last: 9 } },
  log: { tensorboard: false },
  device: 'cpu',
  threads: 1,
})

let runs = 0
async function trained(averaging: readonly AveragingSettings[], steps: number): Promise<string> {
  const out = join(folder.path, `run-${++runs}`)
  await using trainer = await Trainer.create({ ...options(averaging, steps), out })
  await trainer.train()
  return out
}

/** Bytes of a copy: `network`, `average.0` …, of one parameter. */
async function copyOf(path: string, copy: string): Promise<Buffer> {
  const tensors = await tensorsOf(path)
  return Buffer.concat([...tensors].filter(([name]) => name.startsWith(`${copy}.`)).map(([, bytes]) => bytes))
}

describe('on resume', () => {
  test.each([
    ['the first removed', [quick, still], [still], 0],
    ['the last removed', [still, quick], [still], 0],
    ['reordered', [quick, still], [still, quick], 0],
    ['one added in front', [still], [slow, still], 1],
    ['one of two equal ones removed', [still, still], [still], 0],
    ['an equal one added', [still], [still, still], 0],
  ])('%s: the copy that never moves is still the first weights', async (_, before, after, at) => {
    const out = await trained(before, 3)
    const stillBefore = before.indexOf(still)
    const initial = await copyOf(checkpointPath(out, 3), `average.${stillBefore}`)
    await using trainer = await Trainer.create({
      ...options(after, 5),
      out,
      resume: true,
      onWarning: () => undefined,
    })
    await trainer.train()
    expect(await copyOf(checkpointPath(out, 5), `average.${at}`)).toEqual(initial)
    for (const [index, one] of after.entries()) {
      if (one === quick)
        expect(await copyOf(checkpointPath(out, 5), `average.${index}`)).toEqual(
          await copyOf(checkpointPath(out, 5), 'network'),
        )
    }
  })

  test('a new one begins as the trained weights of that step, and a warning says so; so does one that ends', async () => {
    const out = await trained([quick, slow], 3)
    const weights = await copyOf(checkpointPath(out, 3), 'network')
    const warnings: string[] = []
    await using trainer = await Trainer.create({
      ...options([slow, still], 4),
      out,
      resume: true,
      onWarning: (message) => warnings.push(message),
    })
    await trainer.train()
    expect(await copyOf(checkpointPath(out, 4), 'average.1')).toEqual(weights)
    expect(warnings).toEqual([
      expect.stringMatching(/^The averaged copy {"kind":"constant","decay":1} is new: it begins at step 3/),
      expect.stringMatching(/^The averaged copy {"kind":"constant","decay":0} is no longer kept/),
    ])
  })

  test('without any, and back: the copies begin anew', async () => {
    const out = await trained([slow], 2)
    for (const [averaging, steps] of [
      [[], 3],
      [[still], 4],
    ] as const) {
      await using trainer = await Trainer.create({
        ...options(averaging, steps),
        out,
        resume: true,
        onWarning: () => undefined,
      })
      await trainer.train()
    }
    expect(await copyOf(checkpointPath(out, 4), 'average.0')).toEqual(await copyOf(checkpointPath(out, 3), 'network'))
  })

  test('a power-function average that began late does not count where others are made of such', async () => {
    const out = await trained([slow], 3)
    {
      await using trainer = await Trainer.create({
        ...options([power], 5),
        out,
        resume: true,
        onWarning: () => undefined,
      })
      await trainer.train()
    }
    const made = reconstructAverage(out, { deviation: 0.15, out: join(folder.path, 'late.safetensors') })
    await expect(made).rejects.toMatchObject({
      code: 'DPM_FILE_MISSING',
      message: expect.stringContaining('that have seen the whole run'),
    })
    // It is kept in later checkpoints, too.
    await using trainer = await Trainer.create({
      ...options([power, slow], 6),
      out,
      resume: true,
      onWarning: () => undefined,
    })
    await trainer.train()
    await expect(
      reconstructAverage(out, { deviation: 0.15, out: join(folder.path, 'late.safetensors') }),
    ).rejects.toMatchObject({ code: 'DPM_FILE_MISSING' })
  })
})

describe('what is written into the network of a trainer', () => {
  async function writeAll(trainer: Trainer, value: number): Promise<void> {
    for (const { name, shape } of trainer.network.parameters) {
      const size = shape.reduce((product, extent) => product * extent, 1)
      using tensor = Tensor.from(new Float32Array(size).fill(value), shape)
      await trainer.network.write(name, tensor)
    }
  }

  test('before the first update is in every average too; later it is in the trained weights alone', async () => {
    const out = join(folder.path, `written`)
    await using trainer = await Trainer.create({ ...options([still, slow], 2), out })
    await writeAll(trainer, 0.25)
    const first = await trainer.checkpoint()
    expect(first).toBe(checkpointPath(out, 0))
    const weights = await copyOf(checkpointPath(out, 0), 'network')
    expect(new Set(new Float32Array(Uint8Array.from(weights).buffer))).toEqual(new Set([0.25]))
    for (const copy of ['average.0', 'average.1']) expect(await copyOf(checkpointPath(out, 0), copy)).toEqual(weights)
    // Another write makes another checkpoint of that step.
    await writeAll(trainer, 0.5)
    await trainer.checkpoint()
    expect(await copyOf(checkpointPath(out, 0), 'average.0')).not.toEqual(weights)
    await trainer.train()
    expect(await copyOf(checkpointPath(out, 2), 'average.0')).toEqual(await copyOf(checkpointPath(out, 0), 'network'))
    const moved = await copyOf(checkpointPath(out, 2), 'average.1')
    await writeAll(trainer, 7)
    await trainer.checkpoint()
    expect(await copyOf(checkpointPath(out, 2), 'average.1')).toEqual(moved)
    expect(new Float32Array(Uint8Array.from(await copyOf(checkpointPath(out, 2), 'network')).buffer)[0]).toBe(7)
  })

  test('of a run that goes on is in the trained weights alone', async () => {
    const out = await trained([still], 2)
    await using trainer = await Trainer.create({ ...options([still], 4), out, resume: true })
    await writeAll(trainer, 3)
    await trainer.train()
    expect(await copyOf(checkpointPath(out, 4), 'average.0')).toEqual(await copyOf(checkpointPath(out, 2), 'average.0'))
  })
})

test('checkpoint() always says where the checkpoint of its step is', async () => {
  const out = await trained([slow], 3)
  await using trainer = await Trainer.create({ ...options([slow], 4), out, resume: true })
  expect(await trainer.checkpoint()).toBe(checkpointPath(out, 3))
  await trainer.train()
  expect(await trainer.checkpoint()).toBe(checkpointPath(out, 4))
  expect(await Promise.all([trainer.checkpoint(), trainer.checkpoint()])).toEqual([
    checkpointPath(out, 4),
    checkpointPath(out, 4),
  ])
  await using without = await Trainer.create(options([slow], 1))
  expect(await without.checkpoint()).toBeUndefined()
})
