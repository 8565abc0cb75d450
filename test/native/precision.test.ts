/** The arithmetic of a run: half precision beside float32, float16's scale on the loss, and blocks that run again on the way back. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { memory, Trainer } from '../../lib/index.js'
import { loadBinding } from '../../lib/native/load.js'
import type { RunOptions } from '../../lib/training/run-options.js'
import { makeFolder, tinyOptions, writeIdx } from './command.js'
import { holdHandles } from './handles.js'
import { stepGradient } from './network-gradient.js'
import { createTinyUnet, readParameters } from './tiny-unet.js'
import { batchOf, createTraining, planOf, relativeDistance, update } from './training-batch.js'

const held = holdHandles()

describe('a step in half precision', () => {
  test.each([
    ['bfloat16', 0.03],
    ['float16', 0.004],
  ] as const)('%s has the loss and the gradient of float32 to what its digits allow', async (precision, tolerance) => {
    const reports = []
    for (const each of ['float32', precision]) {
      const network = await createTinyUnet(held)
      const training = await createTraining(held, network, { precision: each })
      const report = await loadBinding().trainingStep(training, batchOf(held, planOf([1, 2, 3, 4]), { update }), null)
      reports.push(report)
    }
    const [single, half] = reports
    expect(half?.loss).not.toBe(single?.loss)
    expect(Math.abs((half?.loss ?? 0) / (single?.loss ?? 1) - 1)).toBeLessThan(tolerance)
    expect(Math.abs((half?.gradientNorm ?? 0) / (single?.gradientNorm ?? 1) - 1)).toBeLessThan(tolerance)
    expect(half).toMatchObject({ finite: true, skipped: false, lossScale: precision === 'float16' ? 65_536 : 1 })
  })
})

describe("float16's loss scale", () => {
  const step = (training: Awaited<ReturnType<typeof createTraining>>, weight = 1) => {
    const plan = planOf([1, 2, 3, 4])
    const rows = plan.rows.map((row) => ({ ...row, weight: row.weight * weight }))
    return loadBinding().trainingStep(training, batchOf(held, { ...plan, rows }, { update }), null)
  }

  test('halves where the gradient overflows, and the update that did it leaves everything as it was', async () => {
    const network = await createTinyUnet(held)
    const training = await createTraining(held, network, { precision: 'float16' })
    const before = await readParameters(network)
    // 65504 is float16's largest: this weight overflows at 65536 and at many scales below.
    const scales: number[] = []
    let report = await step(training, 3000)
    for (let i = 0; i < 30 && report.skipped; i++) {
      expect(await readParameters(network)).toEqual(before)
      scales.push(report.lossScale)
      report = await step(training, 3000)
    }
    expect(scales.length).toBeGreaterThan(1)
    expect(scales).toEqual(scales.map((_, i) => 65_536 / 2 ** i))
    expect(report).toMatchObject({ finite: true, skipped: false, lossScale: 65_536 / 2 ** scales.length })
    expect(await readParameters(network)).not.toEqual(before)
  })

  test('has a floor: what overflows there is not finite', async () => {
    const network = await createTinyUnet(held)
    const training = await createTraining(held, network, { precision: 'float16' })
    const reports = []
    for (let i = 0; i < 40 && (reports.at(-1)?.finite ?? true); i++) reports.push(await step(training, 1e12))
    expect(reports.at(-1)).toMatchObject({ finite: false, skipped: false, lossScale: 1 })
    expect(reports).toHaveLength(17)
  })

  test('travels in the state of the training', async () => {
    const network = await createTinyUnet(held)
    const training = await createTraining(held, network, { precision: 'float16' })
    await step(training, 3000)
    const names = loadBinding()
      .trainingTensors(training)
      .map(({ name }) => name)
    expect(names).toContain('optimizer.scale')
    const value = held(await loadBinding().trainingRead(training, 'optimizer.scale'))
    expect([...new Float32Array(await loadBinding().tensorData(value))]).toEqual([32_768, 0])
    const again = await createTraining(held, await createTinyUnet(held), { precision: 'float16' })
    await loadBinding().trainingWrite(again, 'optimizer.scale', value)
    expect((await step(again)).lossScale).toBe(32_768)
  })
})

describe('activation checkpointing', () => {
  test.each([
    ['float32', 0],
    ['float32', 0.3],
    ['bfloat16', 0.3],
  ] as const)('in %s with dropout %d gives the same loss and the same gradient', async (precision, dropout) => {
    const gradients = []
    for (const activationCheckpointing of [false, true]) {
      const network = await createTinyUnet(held, { settings: { dropout } })
      gradients.push(
        await stepGradient(held, network, batchOf(held, planOf([1, 2])), { precision, activationCheckpointing }),
      )
    }
    const [plain, saving] = gradients
    expect(saving?.report.loss).toBe(plain?.report.loss)
    expect(relativeDistance(saving?.gradient ?? [], plain?.gradient ?? [])).toBe(0)
  })
})

describe('a run', () => {
  const folder = makeFolder()
  beforeAll(() => writeIdx(folder.path))
  afterAll(() => folder.remove())
  afterEach(() => {
    expect(memory()).toMatchObject({ tensors: 0, networks: 0, others: 0, bytes: 0, jobs: 0 })
  })
  const options = (changes: Partial<RunOptions> = {}): RunOptions => ({
    ...tinyOptions(folder.path),
    previews: { everySteps: 0 },
    device: 'cpu',
    budget: { steps: 12 },
    ...changes,
  })

  test.each([{ precision: 'bfloat16' }, { precision: 'float16' }] as const)(
    'of $precision has the losses of float32 within its digits',
    async (changes) => {
      const curves = []
      for (const change of [{}, changes]) {
        await using trainer = await Trainer.create(options(change))
        const losses = []
        for await (const { loss } of trainer.steps()) losses.push(loss)
        curves.push(losses)
      }
      const [single = [], half = []] = curves
      expect(half).toHaveLength(single.length)
      expect(Math.max(...half.map((loss, i) => Math.abs(loss / (single[i] ?? 1) - 1)))).toBeLessThan(0.05)
    },
  )

  test('whose network has no blocks to run again is refused, and says which option', async () => {
    const training = { batch: 8, activationCheckpointing: true }
    const network = { kind: 'torch-script', file: 'test/fixtures/torch-script/normed.pt', timeType: 'int64' } as const
    await expect(Trainer.create(options({ training, network }))).rejects.toMatchObject({
      code: 'DPM_INVALID_OPTION',
      message: expect.stringMatching(/training\.activationCheckpointing/),
    })
  })
})
