/** The training loop from TypeScript: its budgets, its ends, its parts; and the published size of DDPM's network. */
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { memory, Network, resolveRecipe, Trainer } from '../../lib/index.js'
import type { RunOptions } from '../../lib/training/run-options.js'
import {
  checkpointPath,
  command,
  differences,
  makeFolder,
  readMetrics,
  tensorsOf,
  tinyOptions,
  writeIdx,
} from './command.js'

const folder = makeFolder()
const options = (changes: Partial<RunOptions> = {}): RunOptions => ({
  ...tinyOptions(folder.path),
  previews: { everySteps: 0 },
  device: 'cpu',
  ...changes,
})

beforeAll(() => writeIdx(folder.path))
afterAll(() => folder.remove())

/** Every test ends with nothing alive on the native side. */
afterEach(() => {
  expect(memory()).toMatchObject({ tensors: 0, networks: 0, others: 0, bytes: 0, jobs: 0 })
})

async function stepsOf(trainer: Trainer): Promise<number> {
  let steps = 0
  for await (const step of trainer.steps()) steps = step.step
  return steps
}

describe('a budget', () => {
  // 40 images in batches of 8.
  test.each([
    [{ steps: 3 }, 3],
    [{ epochs: 1 }, 5],
    [{ epochs: 0.5 }, 3],
    [{ images: 33 }, 5],
    [{ epochs: 2, steps: 4 }, 4],
  ])('of %j ends after %d updates', async (budget, steps) => {
    await using trainer = await Trainer.create(options({ budget }))
    expect(trainer.totalSteps).toBe(steps)
    expect(await stepsOf(trainer)).toBe(steps)
  })

  test('of minutes ends with the update in which they are over', async () => {
    const learningRate = { peak: 1e-3 }
    await using trainer = await Trainer.create(
      options({ budget: { minutes: 0.02 }, training: { batch: 8, learningRate } }),
    )
    expect(trainer.totalSteps).toBeUndefined()
    const fractions: number[] = []
    for await (const step of trainer.steps()) fractions.push(step.fraction)
    expect(fractions.at(-1)).toBe(1)
    expect(fractions.slice(0, -2).every((fraction) => fraction < 1)).toBe(true)
  })
})

describe('leaving the loop', () => {
  test('by break stops after the updates under way, and a second loop goes on from there', async () => {
    const out = join(folder.path, 'left')
    await using trainer = await Trainer.create({ ...options({ budget: { steps: 12 } }), out })
    for await (const { step } of trainer.steps()) if (step === 4) break
    expect(trainer.step).toBeGreaterThanOrEqual(4)
    expect(trainer.step).toBeLessThanOrEqual(5)
    await trainer.train()
    // The update that was under way is in the curves too.
    expect(readMetrics(out).map(({ step }) => step)).toEqual(Array.from({ length: 12 }, (_, i) => i + 1))
    await using straight = await Trainer.create({
      ...options({ budget: { steps: 12 } }),
      out: join(folder.path, 'whole'),
    })
    await straight.train()
    expect(await differences(checkpointPath(out, 12), checkpointPath(join(folder.path, 'whole'), 12))).toEqual([])
  })

  test('by AbortSignal rejects with AbortError and its reason; train() writes a checkpoint first', async () => {
    const out = join(folder.path, 'aborted')
    await using trainer = await Trainer.create({ ...options(), out })
    const controller = new AbortController()
    const reason = new Error('enough')
    const training = trainer.train({
      signal: controller.signal,
      onStep: ({ step }) => {
        if (step === 3) controller.abort(reason)
      },
    })
    await expect(training).rejects.toMatchObject({ name: 'AbortError', code: 'DPM_ABORTED', cause: reason })
    expect(trainer.step).toBeGreaterThanOrEqual(3)
    expect(readdirSync(join(out, 'checkpoints'))).toContain(`step-${String(trainer.step).padStart(8, '0')}.safetensors`)
  })

  test('a signal that has fired stops create() and leaves no folder', async () => {
    const out = join(folder.path, 'never')
    await expect(Trainer.create({ ...options(), out, signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'DPM_ABORTED',
    })
    expect(readdirSync(folder.path)).not.toContain('never')
  })

  test('one loop at a time, and none after close()', async () => {
    const trainer = await Trainer.create(options())
    const first = trainer.steps()
    await first.next()
    await expect(trainer.steps().next()).rejects.toMatchObject({ code: 'DPM_INVALID_ARGUMENT' })
    await first.return()
    await trainer.close()
    await trainer.close()
    await expect(trainer.steps().next()).rejects.toMatchObject({ code: 'DPM_DISPOSED' })
  })
})

test('a picture that is not finite is left out with a warning, and the run goes on; a loss that is not ends it', async () => {
  const out = join(folder.path, 'wild')
  const warnings: string[] = []
  // Guidance of 1e300 is infinite in float32.
  const previews = { everySteps: 2, columns: 1, rows: 1, steps: 2, guidance: 1e300 }
  await using trainer = await Trainer.create({
    ...options({ budget: { steps: 4 } }),
    previews,
    out,
    onWarning: (message) => warnings.push(message),
  })
  const { step, written } = await trainer.train()
  expect(step).toBe(4)
  expect(written).toEqual([checkpointPath(out, 4)])
  expect(warnings).toHaveLength(3)
  expect(warnings[0]).toMatch(/^A picture of step 2 is left out, and training goes on: After step .* NaN or infinite/)
  expect(readdirSync(join(out, 'samples'))).toEqual([])
  expect(readMetrics(out).map(({ step }) => step)).toEqual([1, 2, 3, 4])
  const learningRate = { peak: 1e30 }
  await using spoiled = await Trainer.create({
    ...options({ budget: { steps: 9 } }),
    training: { batch: 8, learningRate },
  })
  await expect(spoiled.train()).rejects.toMatchObject({ code: 'DPM_NON_FINITE' })
})

test('a batch in parts gives the gradient of the whole batch', async () => {
  // The first moment after one update is 0.1 · gradient.
  const gradients: Map<string, Float32Array>[] = []
  const reports: { loss: number; norm: number }[] = []
  for (const microBatch of [null, 3]) {
    const out = join(folder.path, `parts-${microBatch}`)
    const training = { batch: 8, microBatch, clipNorm: 0, learningRate: { peak: 1e-3 } }
    await using trainer = await Trainer.create({ ...options({ budget: { steps: 1 }, training }), out })
    for await (const { loss, gradientNorm } of trainer.steps()) reports.push({ loss, norm: gradientNorm })
    await trainer.checkpoint()
    const first = [...(await tensorsOf(checkpointPath(out, 1)))].filter(([name]) => name.startsWith('optimizer.first.'))
    gradients.push(new Map(first.map(([name, bytes]) => [name, new Float32Array(new Uint8Array(bytes).buffer)])))
  }
  const [whole, parts] = gradients
  const squares = { difference: 0, norm: 0 }
  for (const [name, values] of whole ?? []) {
    for (const [i, value] of values.entries()) {
      squares.difference += (value - (parts?.get(name)?.[i] ?? Number.NaN)) ** 2
      squares.norm += value ** 2
    }
  }
  expect(Math.sqrt(squares.difference / squares.norm)).toBeLessThan(1e-5)
  expect(reports[1]?.loss).toBeCloseTo(reports[0]?.loss ?? 0, 6)
  expect((reports[1]?.norm ?? 0) / (reports[0]?.norm ?? 1)).toBeCloseTo(1, 5)
  expect(Math.sqrt(squares.norm)).toBeCloseTo(0.1 * (reports[0]?.norm ?? 0), 5)
})

describe('ddpm-cifar10', () => {
  const cifar = join(folder.path, 'cifar')

  /** The published form: five files of 10,000 records, a label and 3×32×32 bytes each. */
  function writeCifar10(): void {
    mkdirSync(cifar)
    const records = Buffer.alloc(10_000 * 3073)
    for (let record = 0; record < 10_000; record++) {
      records.fill(record % 256, record * 3073 + 1, (record + 1) * 3073)
      records[record * 3073] = record % 10
    }
    for (let file = 1; file <= 5; file++) writeFileSync(join(cifar, `data_batch_${file}.bin`), records)
  }

  afterAll(() => rmSync(cifar, { recursive: true, force: true }))

  test('has the 35,746,307 parameters of Ho et al. 2020', async () => {
    using network = await Network.build(resolveRecipe('ddpm-cifar10').network, { device: 'cpu' })
    expect(network.size).toBe(35_746_307)
  })

  test('takes real steps from the command line on the published files', async () => {
    writeCifar10()
    const changes = [
      'data.path=cifar',
      'training.batch=2',
      'budget.steps=2',
      'previews.everySteps=0',
      'log.everySteps=1',
    ]
    const end = await command(['train', 'ddpm-cifar10', ...changes.flatMap((change) => ['--set', change])], folder.path)
    expect(end, end.stderr).toMatchObject({ code: 0 })
    expect(end.stderr).toContain('50,000 images of 3×32×32 in 10 classes; 35,746,307 parameters; 2 steps of 2 images')
    const run = join(folder.path, 'runs', 'ddpm-cifar10')
    const metrics = readMetrics(run)
    // The warm-up: 2e-4 · step / 5000. At first the network answers 0 to unit noise, so the loss is about 1.
    expect(metrics.map(({ learningRate }) => learningRate)).toEqual([0, 2e-4 / 5000])
    for (const { loss } of metrics) expect(Math.abs(loss - 1)).toBeLessThan(0.1)
    rmSync(run, { recursive: true })
  })
})
