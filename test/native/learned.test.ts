/** What is learned beside the network: it moves, travels in checkpoints, and a run that stops ends with the bytes of one that does not. */
import { cpSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { SafetensorsFile, writeSafetensors } from '../../lib/checkpoints/safetensors.js'
import { Diffusion, evaluateLikelihood, likelihoodModel, memory, Trainer } from '../../lib/index.js'
import type { RunOptions } from '../../lib/training/run-options.js'
import { checkpointPath, differences, makeFolder, tensorsOf, tinyOptions, writeIdx } from './command.js'

const folder = makeFolder()
const half = 6

/** Each learner alone, then two together. */
const processes = {
  schedule: {
    schedule: { kind: 'learned', units: 16, learningRate: 0.05 },
    weighting: 'vlb',
    times: 'low-discrepancy',
    timeLabel: 'log-snr',
    prediction: 'noise-residual',
  },
  'a straight schedule': {
    schedule: { kind: 'learned', shape: 'straight' },
    weighting: 'vlb',
    timeLabel: 'log-snr',
    prediction: 'velocity',
  },
  weighting: {
    schedule: 'edm',
    prediction: 'edm',
    times: 'log-normal',
    timeLabel: 'quarter-log-ratio',
    weighting: { kind: 'uncertainty', channels: 16 },
  },
  times: {
    schedule: { kind: 'cosine', steps: 4 },
    variance: 'learned-range',
    bound: 'hybrid',
    times: { kind: 'loss-second-moment', history: 2 },
  },
  'times and weighting': {
    schedule: { kind: 'cosine', steps: 4 },
    times: { kind: 'loss-second-moment', history: 2 },
    weighting: { kind: 'uncertainty', of: 'min-snr', channels: 8, learningRate: 0.1 },
  },
} as const satisfies Record<string, RunOptions['diffusion']>
type Name = keyof typeof processes
const names = Object.keys(processes) as Name[]

// The decay ends at the same update whatever the budget.
const training = {
  ...tinyOptions(folder.path).training,
  learningRate: { peak: 1e-3, warmupSteps: 2, decay: 'cosine', decaySteps: 2 * half },
} as const

const optionsOf = (name: Name, changes: Partial<RunOptions> = {}): RunOptions => ({
  ...tinyOptions(folder.path),
  training,
  diffusion: processes[name],
  previews: { everySteps: 0 },
  checkpoints: { everySteps: 1000 },
  device: 'cpu',
  budget: { steps: 2 * half },
  ...changes,
})
const pathOf = (name: Name, run: string): string => join(folder.path, `${name.replaceAll(' ', '-')}-${run}`)

beforeAll(async () => {
  writeIdx(folder.path)
  for (const name of names) {
    await using trainer = await Trainer.create({ ...optionsOf(name), out: pathOf(name, 'straight') })
    for await (const { step } of trainer.steps()) if (step === half) await trainer.checkpoint()
    await trainer.checkpoint()
  }
})
afterAll(() => folder.remove())
afterEach(() => {
  expect(memory()).toMatchObject({ tensors: 0, networks: 0, others: 0, bytes: 0, jobs: 0 })
})

describe.each(names)('%s', (name) => {
  const straight = pathOf(name, 'straight')

  test('learned: every number of it changed between two checkpoints', async () => {
    const [before, after] = await Promise.all([half, 2 * half].map((step) => tensorsOf(checkpointPath(straight, step))))
    const learned = [...(after ?? [])].filter(([tensor]) => tensor.startsWith('learned.'))
    expect(learned.length).toBeGreaterThan(0)
    for (const [tensor, bytes] of learned) {
      if (tensor !== 'learned.times.counts') expect(bytes.equals(before?.get(tensor) ?? bytes), tensor).toBe(false)
    }
  })

  test('a run that is stopped by its budget, by leaving the loop, by a signal, and goes on, ends with the same bytes', async () => {
    const out = pathOf(name, 'parts')
    {
      await using trainer = await Trainer.create({ ...optionsOf(name, { budget: { steps: 2 } }), out })
      await trainer.train()
    }
    const budget = { steps: 2 * half }
    {
      await using trainer = await Trainer.create({ out, resume: true, budget })
      for await (const { step } of trainer.steps()) if (step === 4) break
      await trainer.checkpoint()
    }
    {
      await using trainer = await Trainer.create({ out, resume: true })
      const controller = new AbortController()
      const onStep = ({ step }: { step: number }): void => {
        if (step === half + 1) controller.abort()
      }
      await expect(trainer.train({ signal: controller.signal, onStep })).rejects.toMatchObject({ code: 'DPM_ABORTED' })
    }
    {
      await using trainer = await Trainer.create({ out, resume: true })
      expect(trainer.step).toBeGreaterThan(half)
      expect(trainer.step).toBeLessThan(2 * half)
      await trainer.train()
    }
    expect(await differences(checkpointPath(out, 2 * half), checkpointPath(straight, 2 * half))).toEqual([])
  })

  test('a batch in parts teaches the same', async () => {
    const out = pathOf(name, 'micro')
    const parts = { ...training, microBatch: 3 }
    await using trainer = await Trainer.create({
      ...optionsOf(name, { training: parts, budget: { steps: 3 } }),
      out,
    })
    const reported: number[] = []
    for await (const { loss } of trainer.steps()) reported.push(loss)
    await using whole = await Trainer.create(optionsOf(name, { budget: { steps: 3 } }))
    const wanted: number[] = []
    for await (const { loss } of whole.steps()) wanted.push(loss)
    for (const [i, loss] of wanted.entries()) expect(Math.abs((reported[i] ?? 0) / loss - 1)).toBeLessThan(1e-4)
    for (const [i, learner] of whole.process.learners.entries()) {
      for (const [number, values] of Object.entries(learner.state)) {
        if (number.includes('.') || number === 'updates') continue
        const found = trainer.process.learners[i]?.state[number]
        const size = Math.max(...values.map(Math.abs))
        for (const [k, value] of values.entries())
          expect(Math.abs((found?.[k] ?? Number.NaN) - value)).toBeLessThan(1e-3 * size)
      }
    }
  })

  test('a checkpoint without one of its numbers is refused, by name', async () => {
    const out = pathOf(name, 'bare')
    cpSync(straight, out, { recursive: true })
    const path = checkpointPath(out, 2 * half)
    const file = await SafetensorsFile.open(path)
    const tensors = [...file.tensors.values()]
    const dropped = tensors.find((tensor) => tensor.name.startsWith('learned.'))?.name ?? ''
    const kept = tensors.filter((tensor) => tensor.name !== dropped)
    const sources = kept.map((tensor) => ({ ...tensor, read: () => file.readTensor(tensor.name) }))
    await writeSafetensors(`${path}.new`, sources, Object.fromEntries(file.metadata))
    await file.close()
    cpSync(`${path}.new`, path)
    for (const attempt of [() => Diffusion.load(out), () => Trainer.create({ out, resume: true })]) {
      await expect(attempt()).rejects.toMatchObject({
        code: 'DPM_FILE_INVALID',
        message: expect.stringContaining(`"${dropped}"`),
      })
    }
    rmSync(out, { recursive: true })
  })
})

describe('a learned schedule', () => {
  const straight = pathOf('schedule', 'straight')

  test('is rebuilt from the checkpoint: the levels of the run, not those it began with', async () => {
    await using trainer = await Trainer.create({ out: straight, resume: true })
    using model = await Diffusion.load(straight)
    for (const time of [1e-5, 0.2, 0.7, 1]) {
      expect(model.process.schedule.level(time)).toEqual(trainer.process.schedule.level(time))
    }
    const { alpha, sigma } = model.process.schedule.level(1e-5)
    expect(Math.abs(2 * Math.log(sigma / alpha) + 13.3)).toBeGreaterThan(0.1)
  })

  test("the ends' gradient, from native row gradients to Adam's first moment, is the slope of the reported loss", async () => {
    // Last layers that are not 0, or the network would not depend on the level.
    const speaking = { ...tinyOptions(folder.path).network, zeroLayers: 'none', dropout: 0 } as const
    const first = async (gammaMin: number, gammaMax: number) => {
      // A label that does not know where the ends began.
      const process = { ...processes.schedule, timeLabel: 'quarter-log-ratio' } as const
      const schedule = { ...process.schedule, gammaMin, gammaMax } as const
      await using trainer = await Trainer.create(
        optionsOf('schedule', { diffusion: { ...process, schedule }, network: speaking, budget: { steps: 1 } }),
      )
      const losses: number[] = []
      for await (const { loss } of trainer.steps()) losses.push(loss)
      // Of one update the first moment is a tenth of the gradient.
      const moments = [...(trainer.process.learners[0]?.state['first.ends'] ?? [])]
      return { loss: losses[0] ?? Number.NaN, gradient: moments.map((moment) => 10 * moment) }
    }
    const [low, high, h] = [-6, 3, 0.02]
    const { gradient } = await first(low, high)
    const slopes = [
      ((await first(low + h, high)).loss - (await first(low - h, high)).loss) / (2 * h),
      ((await first(low, high + h)).loss - (await first(low, high - h)).loss) / (2 * h),
    ]
    for (const [i, slope] of slopes.entries()) {
      expect(Math.abs(slope)).toBeGreaterThan(0.01)
      expect(Math.abs((gradient[i] ?? Number.NaN) - slope)).toBeLessThan(2e-3 * Math.abs(slope) + 2e-4)
    }
  })

  test('samples, and has a likelihood', async () => {
    using model = await Diffusion.load(straight)
    const images = await model.sample({ count: 2, steps: 3, sampler: 'ddim', classes: [0, 1] })
    expect(images.data.length).toBe(2 * 64)
    await using trainer = await Trainer.create({ out: straight, resume: true })
    const { bitsPerDimension } = await evaluateLikelihood(likelihoodModel(model, trainer.dataSet), trainer.dataSet, {
      method: { kind: 'ode', tolerance: 1e-2 },
      images: 2,
    })
    expect(bitsPerDimension).toBeGreaterThan(0)
    const bound = await evaluateLikelihood(likelihoodModel(model, trainer.dataSet), trainer.dataSet, {
      method: { kind: 'continuous-vlb', levels: 4 },
      images: 2,
    })
    expect(bound.details).toMatchObject({ kind: 'continuous-vlb', prior: expect.any(Number) })
    expect(bound.bitsPerDimension).toBeGreaterThan(0)
  })
})
