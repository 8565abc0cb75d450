/** Networks that Python exported: what is read, what is refused, and that they train and draw like ours. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { Diffusion, memory, Network, Tensor, Trainer } from '../../lib/index.js'
import type { TorchScriptPlace } from '../../lib/networks/network.js'
import type { RunOptions } from '../../lib/training/run-options.js'
import { checkpointPath, differences, makeFolder, tensorsOf, tinyOptions, writeIdx } from './command.js'

const folder = makeFolder()
const module = (name: string): string => `test/fixtures/torch-script/${name}.pt`
const place = { image: { channels: 1, height: 8, width: 8 }, device: 'cpu' } as const

beforeAll(() => writeIdx(folder.path))
afterAll(() => folder.remove())
afterEach(() => {
  expect(memory()).toMatchObject({ tensors: 0, networks: 0, others: 0, bytes: 0, jobs: 0 })
})

test('parameters and running statistics have the names of Python, and the values of the file', async () => {
  using network = await Network.fromTorchScript(module('normed'), { ...place, timeType: 'int64' })
  expect(network.parameters.filter(({ trained }) => !trained).map(({ name }) => name)).toEqual([
    'norm.running_mean',
    'norm.running_var',
  ])
  expect(network.parameters.map(({ name }) => name)).toContain('output.weight')
  using variance = await network.read('norm.running_var')
  expect([...(await variance.data())]).toEqual([1, 1, 1, 1])
  using weight = await network.read('input.weight')
  expect((await weight.data()).some((value) => value !== 0)).toBe(true)
})

test('of a tuple the first counts, and every image is its own in evaluation', async () => {
  using network = await Network.fromTorchScript(module('normed'), { ...place, timeType: 'int64' })
  const values = Float32Array.from({ length: 3 * 64 }, (_, i) => Math.sin(i))
  using x = Tensor.from(values, [3, 1, 8, 8])
  using pass = await network.forward(x, [5, 99, 0], { gradient: false })
  using alone = Tensor.from(values.slice(64, 128), [1, 1, 8, 8])
  using one = await network.forward(alone, [99], { gradient: false })
  expect(pass.output.shape).toEqual([3, 1, 8, 8])
  const wanted = (await pass.output.data()).slice(64, 128)
  const found = await one.output.data()
  expect(Math.max(...found.map((value, i) => Math.abs(value - (wanted[i] ?? Number.NaN))))).toBeLessThan(1e-5)
})

describe('refused', () => {
  test.each([
    ['a file that is not there', 'nowhere', {}, 'DPM_FILE_MISSING', /There is no file .*nowhere\.pt/],
    [
      'tensors of float64',
      'double',
      {},
      'DPM_FILE_INVALID',
      /Expected float32 for "table\.weight" .* found Double.*\.float\(\)/,
    ],
    ['an argument without a usual name', 'unnamed', {}, 'DPM_INVALID_OPTION', /takes \(x, what\).*network\.inputs/],
    [
      'an output of another shape',
      'wrong-shape',
      {},
      'DPM_INVALID_ARGUMENT',
      /Expected an output of shape 2×1×8×8 .* 2×1×7×8/,
    ],
    ['classes that nobody gives', 'small', {}, 'DPM_INVALID_OPTION', /takes classes: set `network\.classConditional`/],
    ['data of other channels', 'small', { classes: 4 }, 'DPM_INVALID_ARGUMENT', /small\.pt failed: .*channels/s],
    ['times that a table cannot look up', 'normed', {}, 'DPM_INVALID_ARGUMENT', /normed\.pt failed: /],
    [
      'too many inputs',
      'unnamed',
      { inputs: ['x', 'time', 'time'] },
      'DPM_INVALID_OPTION',
      /names 3 inputs, but .* takes 2/,
    ],
    ['too few inputs', 'unnamed', { inputs: ['x'] }, 'DPM_INVALID_OPTION', /also takes "what", which has no default/],
    ['an image that it does not take', 'normed', { conditionChannels: 3 }, 'DPM_INVALID_OPTION', /takes no image/],
  ] as const)('%s', async (_, name, options, code, message) => {
    const made = Network.fromTorchScript(module(name), { ...place, ...(options as TorchScriptPlace) })
    await expect(made).rejects.toMatchObject({ code, message: expect.stringMatching(message) })
  })

  test('a file that is something else', async () => {
    const file = join(folder.path, 'text.pt')
    writeFileSync(file, 'not a module')
    const made = Network.fromTorchScript(file, place)
    await expect(made).rejects.toMatchObject({
      code: 'DPM_FILE_INVALID',
      message: expect.stringMatching(/text\.pt is no TorchScript module/),
    })
  })

  test('a time that a table does not have, as an error and not a crash', async () => {
    using network = await Network.fromTorchScript(module('normed'), { ...place, timeType: 'int64' })
    using x = Tensor.from(new Float32Array(64), [1, 1, 8, 8])
    await expect(network.forward(x, [100])).rejects.toMatchObject({ code: 'DPM_INVALID_ARGUMENT' })
    using pass = await network.forward(x, [99])
    expect(pass.output.shape).toEqual([1, 1, 8, 8])
  })
})

describe('a run of one', () => {
  const options = (changes: Partial<RunOptions> = {}): RunOptions => ({
    ...tinyOptions(folder.path),
    network: { kind: 'torch-script', file: module('normed'), timeType: 'int64' },
    diffusion: { schedule: { kind: 'linear', steps: 100, scaleToSteps: true } },
    previews: { everySteps: 0 },
    device: 'cpu',
    ...changes,
  })

  test('trains in parts, learns, and goes on to the bit, statistics and all', async () => {
    const [straight, halved] = [join(folder.path, 'straight'), join(folder.path, 'halved')]
    const training = { batch: 8, microBatch: 4, learningRate: { peak: 1e-2 } }
    await using whole = await Trainer.create({ ...options({ budget: { steps: 8 }, training }), out: straight })
    await whole.train()
    await using first = await Trainer.create({ ...options({ budget: { steps: 3 }, training }), out: halved })
    await first.train()
    await first.close()
    await using second = await Trainer.create({ resume: true, out: halved, budget: { steps: 8 }, trust: true })
    await second.train()
    expect(await differences(checkpointPath(halved, 8), checkpointPath(straight, 8))).toEqual([])
    const tensors = await tensorsOf(checkpointPath(straight, 8))
    expect(tensors.has('optimizer.first.norm.running_mean')).toBe(false)
    expect(tensors.get('average.0.norm.running_mean')).toEqual(tensors.get('network.norm.running_mean'))
    expect(tensors.get('network.norm.running_mean')).not.toEqual(tensors.get('network.norm.bias'))
  })

  test('draws, whatever else is drawn', async () => {
    const out = join(folder.path, 'drawn')
    await using trainer = await Trainer.create({ ...options({ budget: { steps: 2 } }), out })
    await trainer.train()
    using model = await Diffusion.load(out, { device: 'cpu', trust: true })
    const three = await model.sample({ count: 3, steps: 4, chunk: 2 })
    const last = await model.sample({ samples: [2], steps: 4, chunk: 2 })
    expect(three.length).toBe(3)
    expect([...last.data]).toEqual([...three.data.slice(2 * 64)])
  })
})
