/** An update that fails or is not finite changes nothing, and neither does the one that is queued behind it. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { Trainer } from '../../lib/index.js'
import { loadBinding } from '../../lib/native/load.js'
import type { RunOptions } from '../../lib/training/run-options.js'
import { checkpointPath, differences, makeFolder, readMetrics } from './command.js'
import { holdHandles } from './handles.js'
import { createTinyUnet, readParameters } from './tiny-unet.js'
import { batchOf, createTraining, planOf, readState, update } from './training-batch.js'

const held = holdHandles()
const folder = makeFolder()
afterAll(() => folder.remove())

const pointOptions = (changes: Partial<RunOptions> = {}): RunOptions => ({
  data: { kind: 'points', law: 'moons', count: 64 },
  network: { kind: 'mlp', width: 16, depth: 2 },
  diffusion: { schedule: { kind: 'linear', steps: 50 }, clip: { kind: 'none' } },
  training: {
    batch: 8,
    learningRate: { peak: 1e-2 },
    averaging: [
      { kind: 'constant', decay: 0.9 },
      { kind: 'power', deviation: 0.1 },
    ],
  },
  budget: { steps: 20 },
  previews: { everySteps: 0 },
  checkpoints: { everySteps: 100 },
  log: { everySteps: 3, tensorboard: false },
  device: 'cpu',
  threads: 1,
  ...changes,
})

/** Puts NaN into an example of the batch of an update, 1-based, and of no other. */
function poison(trainer: Trainer, step: number): void {
  const { dataSet } = trainer
  const read = dataSet.read.bind(dataSet)
  let batches = 0
  dataSet.read = async (indices, into, signal) => {
    batches += 1
    const isBad = batches === step
    await read(indices, into, signal)
    if (isBad) into[3] = Number.NaN
  }
}

/** Trains to a step and stops there. @returns the checkpoint. */
async function straightTo(step: number, options: RunOptions): Promise<string> {
  const out = join(folder.path, `straight-${step}-${readdirSync(folder.path).length}`)
  await using trainer = await Trainer.create({ ...options, budget: { steps: step }, out })
  await trainer.train()
  return checkpointPath(out, step)
}

describe('a poisoned batch', () => {
  test.each([
    [1, {}],
    [2, {}],
    [7, {}],
    [7, { microBatch: 3 }],
    [19, {}],
    [20, {}],
  ])(
    'of update %d (%j): the checkpoint afterwards is that of a straight run one step earlier, to the bit',
    async (step, training) => {
      const base = pointOptions()
      const options = { ...base, training: { ...base.training, ...training } }
      const out = join(folder.path, `poisoned-${step}-${JSON.stringify(training).length}`)
      await using trainer = await Trainer.create({ ...options, out })
      poison(trainer, step)
      const failure = await trainer.train().catch((error: unknown) => error)
      expect(failure).toMatchObject({ code: 'DPM_NON_FINITE', details: { step } })
      expect(trainer.step).toBe(step - 1)
      const { checkpoint, ...stopped } = trainer.stopped ?? {}
      expect(stopped).toEqual({ step: step - 1, failure: undefined, cure: { 'training.learningRate.peak': 5e-3 } })
      if (step === 1) {
        expect(checkpoint).toBeUndefined()
        expect((failure as Error).message).toMatch(/No update was made/)
        return
      }
      expect(checkpoint).toBe(checkpointPath(out, step - 1))
      expect((failure as Error).message).toContain(`${checkpoint}: go on with --resume`)
      expect(await differences(checkpoint ?? '', await straightTo(step - 1, options))).toEqual([])
      expect(readMetrics(out).map((line) => line.step)).toEqual([3, 6, 9, 12, 15, 18].filter((line) => line < step))
    },
  )

  test('the same trainer goes on where it was, and ends as if nothing had been', async () => {
    const out = join(folder.path, 'goes-on')
    await using trainer = await Trainer.create({ ...pointOptions(), out })
    poison(trainer, 7)
    await expect(trainer.train()).rejects.toMatchObject({ code: 'DPM_NON_FINITE' })
    await trainer.train()
    expect(await differences(checkpointPath(out, 20), await straightTo(20, pointOptions()))).toEqual([])
  })
})

test('a picture that cannot be read ends the run when its turn comes: what was queued before it is made', async () => {
  const out = join(folder.path, 'unreadable')
  await using trainer = await Trainer.create({ ...pointOptions(), out })
  const { dataSet } = trainer
  const read = dataSet.read.bind(dataSet)
  let batches = 0
  dataSet.read = async (indices, into, signal) => {
    batches += 1
    if (batches === 9) throw new Error('a bad sector')
    await read(indices, into, signal)
  }
  const steps: number[] = []
  const training = trainer.train({ onStep: ({ step }) => void steps.push(step) })
  await expect(training).rejects.toThrow('a bad sector')
  expect(steps).toEqual([1, 2, 3, 4, 5, 6, 7, 8])
  expect(await differences(checkpointPath(out, 8), await straightTo(8, pointOptions()))).toEqual([])
})

describe('cancelled in the middle of an update', () => {
  test.each([{}, { microBatch: 2 }])('%j: the checkpoint is that of a straight run to its step', async (training) => {
    const base = pointOptions()
    const options = { ...base, training: { ...base.training, ...training }, budget: { steps: 5000 } }
    for (const delay of [1, 5, 20]) {
      const out = join(folder.path, `cancelled-${delay}-${JSON.stringify(training).length}`)
      await using trainer = await Trainer.create({ ...options, out })
      const controller = new AbortController()
      setTimeout(() => controller.abort(), delay)
      await expect(trainer.train({ signal: controller.signal })).rejects.toMatchObject({ code: 'DPM_ABORTED' })
      const { step } = trainer
      if (step === 0) continue
      expect(trainer.stopped?.checkpoint).toBe(checkpointPath(out, step))
      const budgeted = { ...options, training: { ...options.training, averaging: base.training?.averaging ?? [] } }
      expect(await differences(checkpointPath(out, step), await straightTo(step, budgeted))).toEqual([])
    }
  })
})

describe('native code', () => {
  test('makes no update that does not follow the last one made, and forgets a batch with a part that is missing', async () => {
    const binding = loadBinding()
    const network = await createTinyUnet(held)
    const training = await createTraining(held, network, { averages: 1 })
    const step = (number: number, changes: object = {}) =>
      binding.trainingStep(
        training,
        batchOf(held, planOf([1, 2]), {
          follows: number - 1,
          update: { ...update, step: number, averagingDecays: [0.5] },
          ...changes,
        }),
        null,
      )
    const refused = { code: 'DPM_INVALID_ARGUMENT', message: expect.stringContaining('not made') }
    await step(1)
    await step(2)
    const before = [await readParameters(network), await readState(training)]
    await expect(step(2)).rejects.toMatchObject(refused)
    await expect(step(4)).rejects.toMatchObject(refused)
    await expect(step(3, { first: false })).rejects.toMatchObject({ code: 'DPM_INVALID_ARGUMENT' })
    // Half of a batch of four, then its end without its middle.
    await step(3, { total: 6, update: null })
    await expect(step(3, { total: 6, first: false })).rejects.toMatchObject(refused)
    expect(await binding.trainingSettle(training)).toMatchObject({ step: 2 })
    expect([await readParameters(network), await readState(training)]).toEqual(before)
    await step(3)
    await binding.trainingBegin(training, 10)
    await expect(step(4)).rejects.toMatchObject(refused)
    await step(11)
    expect(await binding.trainingSettle(training)).toMatchObject({ step: 11 })
  })
})

test('the settings and the progress of a checkpoint after a failure are those of the straight run, time aside', async () => {
  const out = join(folder.path, 'settings')
  await using trainer = await Trainer.create({ ...pointOptions(), out })
  poison(trainer, 9)
  await expect(trainer.train()).rejects.toMatchObject({ code: 'DPM_NON_FINITE' })
  const metadataOf = (path: string): Record<string, string> => {
    const bytes = readFileSync(path)
    const header = JSON.parse(bytes.subarray(8, 8 + Number(bytes.readBigUInt64LE(0))).toString()) as {
      readonly __metadata__: Record<string, string>
    }
    const progress = { ...JSON.parse(header.__metadata__['progress'] ?? '{}'), seconds: 0 }
    const settings = { ...JSON.parse(header.__metadata__['settings'] ?? '{}'), budget: null }
    return { ...header.__metadata__, progress: JSON.stringify(progress), settings: JSON.stringify(settings) }
  }
  expect(metadataOf(checkpointPath(out, 8))).toEqual(metadataOf(await straightTo(8, pointOptions())))
})
