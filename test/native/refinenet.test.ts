/** What a RefineNet refuses, how its norms start, and which rows of its tables a label reaches. */
import { describe, expect, test } from 'vitest'
import { parseDiffusion } from '../../lib/diffusion/diffusion-options.js'
import { Trainer } from '../../lib/index.js'
import { loadBinding } from '../../lib/native/load.js'
import { requireProcess } from '../../lib/networks/list.js'
import { type RefinenetOptions, refinenet } from '../../lib/networks/refinenet.js'
import { readRecipe } from '../../lib/training/recipes.js'
import { createTensor, holdHandles, takeFloats } from './handles.js'
import { drawImages, readParameters } from './tiny-unet.js'

const held = holdHandles()
const image = { channels: 1, height: 8, width: 8 }

const settingsOf = (options: Partial<RefinenetOptions> = {}) =>
  refinenet.options.parse({ kind: 'refinenet', channels: 4, multipliers: [1, 2], dilations: [1, 1], ...options })

const nativeOf = (options: Partial<RefinenetOptions> = {}) => refinenet.native(settingsOf(options), image, 0)

describe('refuses', () => {
  test.each<[Partial<RefinenetOptions>, RegExp]>([
    [{ multipliers: [1, 2, 2] }, /as many dilations as multipliers for `dilations`/],
    [{ dilations: [2, 1] }, /Expected 1 as the first.*`dilations`/],
    [{ multipliers: [1], dilations: [1] }, /at least 2 for `multipliers`/],
    [{ channels: 1 }, /at least 2 for `channels`/],
    [{ classConditional: true as never }, /Expected false for `classConditional`/],
    [
      { multipliers: [1, 1, 1, 1, 1], dilations: [1, 1, 1, 1, 1] },
      /multiple of 16 .* halve 4 times but the data has 8/,
    ],
  ])('%j', (options, message) => {
    expect(() => nativeOf(options)).toThrow(message)
  })

  test.each([
    [{ schedule: { kind: 'ncsn', steps: 9 } }, /`levels` 10.*"ncsn" has 9 times/],
    [{ schedule: { kind: 'ncsn', steps: 10 }, timeLabel: 'ratio' }, /the label is "ratio"/],
    [{ schedule: 've-sde', timeLabel: 'log-sigma' }, /"ve-sde" has continuous times/],
  ])('a process of other levels than its norms: %j', (diffusion, message) => {
    expect(() => requireProcess(settingsOf({ levels: 10 }), parseDiffusion(diffusion))).toThrow(message)
    expect(() => requireProcess(settingsOf(), parseDiffusion(diffusion))).not.toThrow()
  })

  test('such a run, before it reads any data', async () => {
    const run = { ...readRecipe('ncsn'), network: { kind: 'refinenet', levels: 9 } as const, device: 'cpu' }
    await expect(Trainer.create(run)).rejects.toThrow(/`levels` 9/)
  })

  test.each([
    [10, '10'],
    [-1, '-1'],
    [2.5, '2.5'],
    [Number.NaN, 'nan'],
  ])('the label %d', async (label, text) => {
    const network = held(await loadBinding().networkCreate('refinenet', nativeOf({ levels: 10 }), 1, 'cpu'))
    const x = createTensor(held, drawImages(2, 64), [2, 1, 8, 8])
    const forward = loadBinding().networkForward(
      network,
      x,
      Float64Array.of(9, label),
      null,
      null,
      false,
      'float32',
      null,
    )
    await expect(forward).rejects.toThrow(
      `from 0 to 9, a noise level of the network, for \`labels[1]\` but received ${text}.`,
    )
  })
})

test('norms start near 1, in their own rows; their biases at 0', async () => {
  const network = held(await loadBinding().networkCreate('refinenet', nativeOf({ levels: 2000 }), 1, 'cpu'))
  const parameters = await readParameters(network)
  for (const kind of ['weight', 'means']) {
    const values = parameters.get(`refine.1.output.0.0.norm.${kind}`) ?? new Float32Array()
    expect(values).toHaveLength(2000 * 8)
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length
    const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length
    // Four standard deviations of the estimates.
    expect(Math.abs(mean - 1)).toBeLessThan((4 * 0.02) / Math.sqrt(values.length))
    expect(Math.abs(variance / 0.02 ** 2 - 1)).toBeLessThan(4 * Math.sqrt(2 / values.length))
  }
  expect(parameters.get('output.norm.bias')?.every((value) => value === 0)).toBe(true)
})

test('a label reaches its own row and no other', async () => {
  const binding = loadBinding()
  const network = held(await binding.networkCreate('refinenet', nativeOf({ levels: 3 }), 1, 'cpu'))
  const x = createTensor(held, drawImages(2, 64), [2, 1, 8, 8])
  const pass = held(await binding.networkForward(network, x, Float64Array.of(2, 0), null, null, true, 'float32', null))
  const objective = createTensor(held, drawImages(2, 64, 5), [2, 1, 8, 8])
  const { input, parameters } = await binding.passBackward(pass, objective)
  held(input)
  const index = binding.networkParameters(network).findIndex(({ name }) => name === 'output.norm.means')
  const gradients = await Promise.all(parameters.map((handle) => takeFloats(handle)))
  const rows = gradients[index] ?? new Float32Array()
  const zero = [0, 1, 2].map((row) => rows.subarray(row * 4, row * 4 + 4).every((value) => value === 0))
  expect(zero).toEqual([false, true, false])
})
