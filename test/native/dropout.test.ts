import { describe, expect, test } from 'vitest'
import type { NetworkHandle } from '../../lib/native/binding.js'
import { loadBinding } from '../../lib/native/load.js'
import { philox4x32, seedKey, uniformFloat } from '../../lib/random/philox.js'
import { noisePurposes } from '../../lib/random/purposes.js'
import { holdHandles } from './handles.js'
import { createTinyUnet, readParameters } from './tiny-unet.js'
import { type BatchPlan, batchOf, createTraining, planOf, readState, update, writeParameter } from './training-batch.js'

const held = holdHandles()
const probability = 0.3
const channels = 8
const positions = 8 * 8
const shallow = { multipliers: [1], attentionResolutions: [], groups: 1, dropout: probability }
/** down, two in the middle, two on the way up: the last of five. */
const lastSite = 4

/** Which elements of an example a dropout keeps, channels-last. */
function maskOf(seed: number, epoch: number, example: number, site: number): boolean[] {
  const mask: boolean[] = []
  for (let block = 0; mask.length < channels * positions; block++) {
    const words = philox4x32([block, example, epoch, noisePurposes.dropout | (site << 8)], seedKey(seed))
    mask.push(...words.map((word) => uniformFloat(word) >= probability))
  }
  return mask
}

/**
 * Weights with which the network shows its last mask: the last block is constant before its dropout and the identity
 * after it, so the output is silu(norm(mask)), of its first three channels.
 */
async function showMask(network: NetworkHandle): Promise<void> {
  const block = 'up.0.blocks.1'
  const centre = (inputs: number) => (i: number) =>
    i % 9 === 4 && Math.floor(i / 9 / inputs) === Math.floor(i / 9) % inputs ? 1 : 0
  const values: Readonly<Record<string, (index: number) => number>> = {
    [`${block}.norm2.weight`]: () => 0,
    [`${block}.norm2.bias`]: () => 2,
    [`${block}.shortcut.weight`]: () => 0,
    [`${block}.shortcut.bias`]: () => 0,
    [`${block}.conv2.weight`]: centre(channels),
    [`${block}.conv2.bias`]: () => 0,
    'output.norm.weight': () => 1,
    'output.norm.bias': () => 0,
    'output.conv.weight': centre(channels),
    'output.conv.bias': () => 0,
  }
  for (const [name, value] of Object.entries(values)) await writeParameter(held, network, name, value)
}

const silu = (x: number): number => x / (1 + Math.exp(-x))

/** Mean square of silu(norm(mask)) over the first three channels: a norm over two values, kept with frequency k. */
function lossOf(mask: readonly boolean[]): number {
  const k = mask.filter(Boolean).length / mask.length
  const [kept, dropped] = [silu(Math.sqrt((1 - k) / k)), silu(-Math.sqrt(k / (1 - k)))]
  const shown = mask.filter((_, i) => i % channels < 3)
  return shown.reduce((sum, keeps) => sum + (keeps ? kept : dropped) ** 2, 0) / shown.length
}

async function lossesOf(plan: BatchPlan): Promise<number[]> {
  const network = await createTinyUnet(held, { settings: shallow })
  await showMask(network)
  const training = await createTraining(held, network)
  return Array.from((await loadBinding().trainingStep(training, batchOf(held, plan), null)).losses)
}

const row = { targetClean: 0, targetNoise: 0 }

describe('a dropout mask', () => {
  test('is the philox mask of (seed, epoch, example, site)', async () => {
    const cases = [
      { seed: 21, epoch: 0, example: 0 },
      { seed: 21, epoch: 1, example: 0 },
      { seed: 21, epoch: 0, example: 70_000 },
      { seed: 2 ** 40 + 3, epoch: 0, example: 0 },
    ]
    const seen = new Set<number>()
    for (const { seed, epoch, example } of cases) {
      const plan = { ...planOf([0], { row, seed }), epochs: [epoch], examples: [example] }
      const [loss = 0] = await lossesOf(plan)
      expect(loss).toBeCloseTo(lossOf(maskOf(seed, epoch, example, lastSite)), 5)
      seen.add(loss)
    }
    expect(seen.size).toBe(cases.length)
  })

  test('does not depend on the batch, its order or the image', async () => {
    const examples = [3, 8, 1]
    const together = await lossesOf(planOf(examples, { row, epochs: [2, 2, 2] }))
    for (const [n, example] of examples.entries()) {
      const [alone = 0] = await lossesOf({ ...planOf([0], { row, epochs: [2] }), examples: [example] })
      expect(together[n]).toBeCloseTo(alone, 6)
      expect(alone).toBeCloseTo(lossOf(maskOf(21, 2, example, lastSite)), 5)
    }
  })

  test('keeps the share 1 - probability', () => {
    const masks = Array.from({ length: 100 }, (_, example) => maskOf(21, 0, example, lastSite)).flat()
    const share = masks.filter(Boolean).length / masks.length
    const deviation = Math.sqrt((probability * (1 - probability)) / masks.length)
    expect(Math.abs(share - (1 - probability))).toBeLessThan(4 * deviation)
  })

  test('is the same on the way back: the gradient is the slope of the loss', async () => {
    const plan = planOf([1, 2])
    const name = 'up.0.blocks.1.norm2.bias'
    const network = await createTinyUnet(held, { settings: shallow })
    const start = (await readParameters(network)).get(name) ?? new Float32Array()
    const training = await createTraining(held, network)
    const still = { update: { ...update, learningRate: 0 } }
    const loss = async (distance: number): Promise<number> => {
      await writeParameter(held, network, name, (i) => (start[i] ?? 0) + (i === 2 ? distance : 0))
      return (await loadBinding().trainingStep(training, batchOf(held, plan, still), null)).loss
    }
    await loss(0)
    // Adam's first moment after one step is a tenth of the gradient.
    const gradient = ((await readState(training)).get(`optimizer.first.${name}`)?.[2] ?? 0) / 0.1
    const [width, above, below] = [0.02, await loss(0.02), await loss(-0.02)]
    expect(Math.abs(gradient)).toBeGreaterThan(1e-3)
    expect(Math.abs((above - below) / (2 * width) / gradient - 1)).toBeLessThan(0.01)
  })
})

test('outside training nothing is dropped', async () => {
  const binding = loadBinding()
  const outputs = []
  for (const dropout of [0, probability]) {
    const network = await createTinyUnet(held, { settings: { dropout } })
    const x = held(await binding.randomNormal(1, 0, 0, Float64Array.of(0), [1, 3, 8, 8], 'cpu'))
    const pass = held(await binding.networkForward(network, x, Float64Array.of(1), null, null, false, 'float32', null))
    outputs.push(new Float32Array(await binding.tensorData(held(binding.passOutput(pass)))))
  }
  expect(outputs[0]).toEqual(outputs[1])
})
