/** Likelihoods of a native network: what its denoiser answers, and the command line. */
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { writeCheckpoint } from '../../lib/checkpoints/checkpoint-folder.js'
import { createProcess, type DiffusionOptions, parseDiffusion } from '../../lib/diffusion/diffusion-options.js'
import type { LikelihoodDenoiser } from '../../lib/diffusion/likelihood/likelihood-denoiser.js'
import { networkDenoiser } from '../../lib/evaluation/network-denoiser.js'
import { Network } from '../../lib/networks/network.js'
import { normals } from '../../lib/random/philox.js'
import { Tensor } from '../../lib/tensor/tensor.js'
import { runOptions } from '../../lib/training/run-options.js'
import { command, makeFolder, tinyOptions, writeIdx } from './command.js'

const image = { channels: 3, height: 8, width: 8 }
const elements = 3 * 8 * 8

async function tinyNetwork(outputs: 1 | 2): Promise<Network> {
  const settings = {
    channels: 8,
    blocks: 1,
    groups: 4,
    zeroLayers: 'none',
  } as const
  return Network.create(
    'unet',
    { ...settings, multipliers: [1, 2], attentionResolutions: [4] },
    { image, outputs, device: 'cpu', seed: 3 },
  )
}

function images(count: number): Float64Array {
  const x = new Float64Array(count * elements)
  for (let n = 0; n < count; n++) x.set(normals(2, 'initial', 0, n, elements), n * elements)
  return x
}

describe.each([
  ['noise, fixed variance', { prediction: 'noise' }, 1],
  ['velocity, learned variance', { prediction: 'velocity', variance: 'learned-range' }, 2],
] as const)('a network as a denoiser: %s', (_, options: DiffusionOptions, outputs) => {
  let network: Network
  const process = createProcess(parseDiffusion({ ...options, schedule: { kind: 'linear', steps: 100 } }))
  const levels = [process.schedule.level(20), process.schedule.level(70), process.schedule.level(45)]
  const x = images(3)
  const denoiser = (chunk: number): LikelihoodDenoiser =>
    networkDenoiser({ network, process, image, precision: 'float32', chunk })

  beforeAll(async () => {
    network = await tinyNetwork(outputs)
  })
  afterAll(() => network.dispose())

  test('clean is cSkip x + cOut F(cIn x), and a learned variance is the second half', async () => {
    const { clean, variance } = await denoiser(4).denoise(x, levels, [0, 1, 2])
    using input = Tensor.from(Float32Array.from(x), [3, 3, 8, 8])
    using pass = await network.forward(input, levels.map(process.label), { gradient: false })
    const output = await pass.output.data()
    for (const [n, level] of levels.entries()) {
      const { cSkip, cOut } = process.prediction.numbers(level)
      for (const i of [0, 63, 64, 191]) {
        const f = output[n * outputs * elements + i] ?? Number.NaN
        expect(clean[n * elements + i]).toBeCloseTo(cSkip * (x[n * elements + i] ?? 0) + cOut * f, 4)
        if (outputs === 2) {
          expect(variance?.[n * elements + i]).toBeCloseTo(output[(n * 2 + 1) * elements + i] ?? Number.NaN, 5)
        }
      }
    }
    expect(variance === undefined).toBe(outputs === 1)
  })

  test('the product with the transposed Jacobian is the derivative', async () => {
    const vector = images(3).map((_, i) => Math.sin(i))
    const along = normals(8, 'probe', 0, 0, x.length)
    const { product } = (await denoiser(4).pull?.(x, levels, vector, [0, 1, 2])) ?? { product: [] }
    const moved = async (width: number): Promise<ArrayLike<number>> =>
      (
        await denoiser(4).denoise(
          x.map((one, i) => one + width * (along[i] ?? 0)),
          levels,
          [0, 1, 2],
        )
      ).clean
    const [above, below] = [await moved(0.01), await moved(-0.01)]
    for (let n = 0; n < 3; n++) {
      let [exact, measured] = [0, 0]
      for (let i = n * elements; i < (n + 1) * elements; i++) {
        exact += (product[i] ?? Number.NaN) * (along[i] ?? 0)
        measured += ((vector[i] ?? 0) * ((above[i] ?? 0) - (below[i] ?? 0))) / 0.02
      }
      expect(Math.abs(measured - exact) / Math.abs(exact)).toBeLessThan(0.01)
    }
  })

  test('an image has the same bytes in any company of one chunk', async () => {
    const one = x.slice(elements, 2 * elements)
    const alone = await denoiser(4).denoise(one, levels.slice(1, 2), [1])
    const together = await denoiser(4).denoise(x, levels, [0, 1, 2])
    expect([...Array.from(alone.clean)]).toEqual(Array.from(together.clean).slice(elements, 2 * elements))
  })
})

/** A checkpoint with first weights: likelihoods are as well defined for it as for any other. */
async function writeUntrained(folder: string): Promise<void> {
  const settings = runOptions.parse({ ...tinyOptions('.'), name: 'tiny' })
  const grey = { channels: 1, height: 8, width: 8 }
  using network = await Network.build(settings.network, { image: grey, classes: 10, device: 'cpu', seed: 1 })
  const tensors = network.parameters.map(({ name, shape }) => ({
    name: `network.${name}`,
    dtype: 'float32' as const,
    shape,
    async read() {
      using tensor = await network.read(name)
      return new Uint8Array((await tensor.data()).buffer)
    },
  }))
  mkdirSync(folder, { recursive: true })
  await writeCheckpoint(folder, {
    settings: JSON.parse(JSON.stringify({ ...settings, training: { ...settings.training, averaging: [] } })),
    progress: { step: 0 },
    classes: Array.from({ length: 10 }, (_, index) => String(index)),
    image: grey,
    tensors,
  })
}

describe('dpm-torch likelihood', () => {
  const folder = makeFolder()
  const run = (...args: string[]) => command(args, folder.path)

  beforeAll(async () => {
    writeIdx(folder.path)
    await writeUntrained(join(folder.path, 'runs', 'tiny', 'checkpoints'))
  })
  afterAll(() => folder.remove())

  test('vlb: a bound, both decoders, terms and a curve, in a file of its own', async () => {
    const args = ['likelihood', 'runs/tiny', '--images', '6', '--split', 'train', '--json']
    const [first, second] = [await run(...args), await run(...args, '--batch', '2')]
    const result = JSON.parse(first.stdout)
    expect(result).toMatchObject({
      file: join('runs', 'tiny', 'evaluation', 'likelihood-vlb-0001.json'),
      protocol: {
        images: 6,
        split: 'train',
        whole: false,
        method: { kind: 'vlb', clip: true },
        model: { withClass: true },
      },
    })
    const stored = JSON.parse(readFileSync(join(folder.path, result.file), 'utf8'))
    expect(stored.each).toHaveLength(6)
    expect(stored.details.terms).toHaveLength(50)
    expect(stored.details.curve.at(-1).rate).toBeCloseTo(result.bitsPerDimension, 8)
    expect(JSON.parse(second.stdout)).toMatchObject({
      file: join('runs', 'tiny', 'evaluation', 'likelihood-vlb-0002.json'),
      bitsPerDimension: result.bitsPerDimension,
    })
  })

  test('ode: the number with its error and protocol', async () => {
    const end = await run(
      'likelihood',
      'runs/tiny',
      '--method',
      'ode',
      '--images',
      '3',
      '--split',
      'train',
      '--set',
      'solver=heun',
      '--set',
      'steps=8',
    )
    expect(end).toMatchObject({ code: 0 })
    expect(end.stdout).toMatch(/^-?\d+\.\d{4} ± \d+\.\d{4} bits\/dim\n/)
    expect(end.stdout).toMatch(/evaluations +16\.0 per image/)
    expect(end.stdout).toMatch(/dequantization uniform/)
  })

  test.each([
    [['--split', 'test'], 1, /t10k/],
    [['--split', 'train', '--method', 'vbl'], 2, /Did you mean "vlb"/],
    [['--split', 'train', '--set', 'times=50'], 2, /at most 49/],
    [['--split', 'train', '--out', 'x.txt'], 2, /ends in \.json/],
    [['--split', 'train', '--data', 'padding=4'], 2, /images of 1×8×8 .* are 1×16×16/],
  ])('%j is refused', async (args, code, message) => {
    mkdirSync(join(folder.path, 'empty'), { recursive: true })
    const end = await run('likelihood', 'runs/tiny', ...args)
    expect(end.code).toBe(code)
    expect(end.stderr).toMatch(message)
  })
})
