/** Two networks trained together on the bound: what the forward step's does to the mixture, and that both learn by it. */
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { dataSchema } from '../../lib/datasets/list.js'
import { createProcess, parseDiffusion } from '../../lib/diffusion/diffusion-options.js'
import { forwardStepNumbers } from '../../lib/diffusion/forward-step.js'
import {
  Diffusion,
  evaluateLikelihood,
  likelihoodModel,
  memory,
  Network,
  openDataSet,
  Trainer,
} from '../../lib/index.js'
import type { NetworkHandle } from '../../lib/native/binding.js'
import { loadBinding } from '../../lib/native/load.js'
import { modifiedDdp } from '../../lib/networks/modified-ddp.js'
import { normals } from '../../lib/random/philox.js'
import { Tensor } from '../../lib/tensor/tensor.js'
import type { RunOptions } from '../../lib/training/run-options.js'
import { drawParameter } from '../parity/network-fixture.js'
import { command, makeFolder, tinyOptions, writeIdx } from './command.js'
import { createTensor, holdHandles } from './handles.js'
import { stepGradient } from './network-gradient.js'
import { createTinyUnet, readParameters, tinyElements, tinyImage } from './tiny-unet.js'
import { type BatchPlan, batchOf, createTraining, planOf, writeParameter } from './training-batch.js'

const held = holdHandles()

const options = { kind: 'modified-ddp', channels: 6, forwardChannels: 4, multipliers: [1, 2], dropout: 0.2 } as const
const process = createProcess(
  parseDiffusion({
    schedule: { kind: 'cosine', steps: 20 },
    prediction: 'velocity',
    variance: 'fixed-small',
    bound: 'vlb',
    timeLabel: 'fraction',
  }),
)
const times = [0, 3, 12, 19]

/** Examples at the times, with rows of the bound and the numbers of the forward step. */
function planAtTimes(): { readonly plan: BatchPlan; readonly forwardStep: Float64Array } {
  const plan = planOf([0, 1, 2, 3])
  return {
    plan: { ...plan, rows: times.map((time) => process.objective.row(time)) },
    forwardStep: forwardStepNumbers(process, times),
  }
}

async function create(weights: 'first' | 'drawn'): Promise<NetworkHandle> {
  const native = modifiedDdp.native(modifiedDdp.options.parse(options), tinyImage, 0)
  const network = held(await loadBinding().networkCreate('modified-ddp', native, 1, 'cpu'))
  if (weights === 'first') return network
  for (const { name, shape } of loadBinding().networkParameters(network)) {
    await loadBinding().networkWrite(network, name, createTensor(held, drawParameter(name, shape), shape))
  }
  return network
}

test('it begins as DDPM: the first forward step leaves images as they are', async () => {
  const { plan, forwardStep } = planAtTimes()
  const report = async (changes: { forwardStep: Float64Array | null }) =>
    (await stepGradient(held, await create('first'), batchOf(held, plan, changes))).report
  const [learned, plain] = [await report({ forwardStep }), await report({ forwardStep: null })]
  for (const name of ['losses', 'bounds'] as const) {
    learned[name].forEach((value, n) => {
      expect(Math.abs(value / (plain[name][n] ?? Number.NaN) - 1)).toBeLessThan(1e-5)
    })
  }
})

test('images are mixed, and the output aimed, as the formulas say', async () => {
  const { plan, forwardStep } = planAtTimes()
  const network = await create('first')
  // With these weights f is 0.3 in the first channel, -0.7 in the second, 0 in the third; the reverse step still says 0.
  await writeParameter(held, network, 'forwardStep.output.bias', (i) => [0.3, -0.7, 0][i] ?? 0)
  const { report } = await stepGradient(held, network, batchOf(held, plan, { forwardStep }))
  plan.rows.forEach((row, n) => {
    const [, gate = 0, gateBefore = 0, gain = 0] = forwardStep.subarray(4 * n, 4 * n + 4)
    const noise = normals(plan.seed, 'training', plan.epochs[n] ?? 0, plan.examples[n] ?? 0, tinyElements)
    let loss = 0
    for (let i = 0; i < tinyElements; i++) {
      const clean = plan.images[n * tinyElements + i] ?? 0
      const moved = [0.3, -0.7, 0][Math.floor(i / 64)] ?? 0
      const [here, before] = [clean + gate * moved, clean + gateBefore * moved]
      const target = row.targetClean * here + row.targetNoise * (noise[i] ?? 0) + gain * (before - here)
      loss += target ** 2 / tinyElements
    }
    expect(Math.abs((report.losses[n] ?? Number.NaN) / loss - 1)).toBeLessThan(1e-5)
  })
})

test.each(['forwardStep.', 'reverseStep.'])(
  'the gradient of the bound by the weights of %s is its slope',
  async (part) => {
    const { plan, forwardStep } = planAtTimes()
    const network = await create('drawn')
    const { gradient } = await stepGradient(held, network, batchOf(held, plan, { forwardStep }))
    const weights = await readParameters(network)
    const rows = loadBinding()
      .networkParameters(network)
      .filter(({ trained }) => trained)
    const direction = new Map<string, number[]>()
    let at = 0
    for (const { name, shape } of rows) {
      const size = shape.reduce((product, extent) => product * extent, 1)
      if (name.startsWith(part)) direction.set(name, gradient.slice(at, at + size))
      at += size
    }
    const length = Math.hypot(...[...direction.values()].flat())
    expect(length).toBeGreaterThan(1e-3)
    const lossAt = async (h: number) => {
      for (const [name, along] of direction) {
        await writeParameter(held, network, name, (i) => (weights.get(name)?.[i] ?? 0) + (h * (along[i] ?? 0)) / length)
      }
      const training = await createTraining(held, network)
      const batch = batchOf(held, plan, { forwardStep, update: null })
      return (await loadBinding().trainingStep(training, batch, null)).loss
    }
    const h = 1e-3
    expect(Math.abs(((await lossAt(h)) - (await lossAt(-h))) / (2 * h) / length - 1)).toBeLessThan(1e-2)
  },
)

test('a network that learns no forward step refuses its numbers', async () => {
  const { plan, forwardStep } = planAtTimes()
  const unet = await createTinyUnet(held)
  await expect(stepGradient(held, unet, batchOf(held, plan, { forwardStep }))).rejects.toMatchObject({
    code: 'DPM_INVALID_ARGUMENT',
  })
  const few = batchOf(held, plan, { forwardStep: forwardStep.slice(4) })
  await expect(stepGradient(held, await create('first'), few)).rejects.toMatchObject({ code: 'DPM_INVALID_ARGUMENT' })
  using network = await Network.create('mlp', { width: 8 }, { image: tinyImage, device: 'cpu' })
  using x = Tensor.from(new Float32Array(tinyElements), [1, 3, 8, 8])
  await expect(network.encode(x, [1], [0.5])).rejects.toThrow('does not learn the forward process')
})

describe('a run', () => {
  const folder = makeFolder()
  const out = join(folder.path, 'run')
  const run: RunOptions = {
    ...tinyOptions(folder.path),
    network: { ...options, channels: 4, multipliers: [1] },
    diffusion: {
      schedule: { kind: 'cosine', steps: 10 },
      bound: 'vlb',
      timeLabel: 'fraction',
      variance: 'learned-range',
      times: 'loss-second-moment',
    },
    budget: { steps: 6 },
    previews: { everySteps: 6, sampler: 'ddpm', steps: 10, columns: 2, rows: 2 },
    device: 'cpu',
  }

  beforeAll(async () => {
    writeIdx(folder.path)
    await using trainer = await Trainer.create({ ...run, out })
    await trainer.train()
  })
  afterAll(() => {
    folder.remove()
    expect(memory()).toMatchObject({ networks: 0, others: 0, jobs: 0 })
  })

  test('has a bound with the learned forward step in it, and no density by the flow', async () => {
    using model = await Diffusion.load(out, { device: 'cpu' })
    const dataSet = await openDataSet(dataSchema.parse(run.data))
    const asked = likelihoodModel(model, dataSet)
    const { encode: _, ...withoutEncode } = asked.denoiser
    const bits = async (denoiser: typeof asked.denoiser) =>
      (await evaluateLikelihood({ ...asked, denoiser }, dataSet, { method: 'vlb', images: 3 })).bitsPerDimension
    const [learned, plain] = [await bits(asked.denoiser), await bits(withoutEncode)]
    expect(Number.isFinite(learned)).toBe(true)
    expect(learned).not.toBe(plain)
    for (const [method, message] of [
      ['ode', 'Use the method "vlb"'],
      [{ kind: 'vlb', paths: 2 }, '`paths` 1'],
    ] as const) {
      await expect(evaluateLikelihood(asked, dataSet, { method, images: 1 })).rejects.toThrow(message)
    }
    await dataSet.close()
  })

  test('is sampled and evaluated from the command line', async () => {
    const drawn = await command(['sample', out, '--count', '2', '--out', 'two.png'], folder.path)
    expect([drawn.code, drawn.stdout.trim()]).toEqual([0, 'two.png'])
    const found = await command(['likelihood', out, '--images', '2', '--split', 'train', '--json'], folder.path)
    expect(JSON.parse(found.stdout)).toMatchObject({ details: { kind: 'vlb' } })
  })

  test.each([
    [{ bound: 'none', variance: 'fixed-small' }, '`diffusion.bound` "none" would not teach the forward step'],
    [{ schedule: 'vp-sde', bound: 'vlb' }, '`diffusion.schedule` "vp-sde" has no steps'],
    [{ bound: 'vlb', timeLabel: 'step' }, '`diffusion.timeLabel` "step" is not the time from 0 to 1'],
    [{ bound: 'vlb', coupling: 'optimal-transport' }, '`diffusion.coupling` "optimal-transport"'],
  ] as const)('with %j is refused', async (diffusion, message) => {
    await expect(Trainer.create({ ...run, diffusion })).rejects.toThrow(message)
  })
})
