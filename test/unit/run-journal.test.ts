/** The curves of a run that was stopped between two lines are those of one that was not. */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { RunFolder } from '../../lib/training/run-folder.js'
import { RunJournal } from '../../lib/training/run-journal.js'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dpm-journal-'))
})
afterEach(async () => {
  await rm(folder, { recursive: true })
})

const settings = { everySteps: 5, tensorboard: false }
const valuesOf = (step: number) => ({
  step,
  loss: Math.sin(step) / 3 + 1,
  gradientNorm: 1 / step,
  learningRate: 1e-3,
  epoch: step / 10,
  seconds: 0,
  imagesPerSecond: undefined,
})

async function linesAfter(stops: readonly number[], last = 23): Promise<string> {
  const run = await RunFolder.create(join(folder, `run-${stops.join('-')}`), {})
  let journal = await RunJournal.open(run, settings)
  for (let step = 1; step <= last; step++) {
    await journal.note(valuesOf(step))
    if (!stops.includes(step)) continue
    // As it travels in a checkpoint; two updates more were made, and are lost.
    const state: unknown = JSON.parse(JSON.stringify(journal.state ?? null))
    for (const lost of [step + 1, step + 2]) await journal.note({ ...valuesOf(lost), loss: 99 })
    await journal.close()
    journal = await RunJournal.open(run, settings, { step, state })
  }
  await journal.close()
  run.close()
  return readFile(run.metrics, 'utf8')
}

test.each([[[5]], [[7]], [[3, 4, 8, 9, 14]], [[1, 2]], [[22]]])('stopped after %j', async (stops) => {
  expect(await linesAfter(stops)).toBe(await linesAfter([]))
})

test('a checkpoint of 0.1.0 has no sums: the first line has the losses since', async () => {
  const run = await RunFolder.create(join(folder, 'run'), {})
  for (const state of [undefined, null, 'x', { sum: 'y' }]) {
    const journal = await RunJournal.open(run, settings, { step: 3, state })
    await journal.note({ ...valuesOf(4), loss: 1 })
    await journal.note({ ...valuesOf(5), loss: 3 })
    await journal.close()
    expect(JSON.parse(await readFile(run.metrics, 'utf8'))).toMatchObject({ step: 5, loss: 2 })
  }
  run.close()
})

test('a line that could not be written is written when the run goes on, once', async () => {
  const run = await RunFolder.create(join(folder, 'run'), {})
  const journal = await RunJournal.open(run, { everySteps: 1, tensorboard: false })
  await journal.note(valuesOf(1))
  // Its file is closed behind its back: a write that the system refuses.
  await journal.close()
  await expect(journal.note(valuesOf(2))).rejects.toMatchObject({ code: 'DPM_WRITE_FAILED' })
  await expect(journal.note(valuesOf(3))).rejects.toMatchObject({ code: 'DPM_WRITE_FAILED' })
  const { state } = journal
  expect(state?.lines.map(({ step }) => step)).toEqual([2, 3])
  for (const again of [1, 2]) {
    const resumed = await RunJournal.open(run, settings, { step: 3, state })
    await resumed.close()
    const steps = (await readFile(run.metrics, 'utf8'))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).step)
    expect(steps, `opened ${again} times`).toEqual([1, 2, 3])
  }
  run.close()
})
