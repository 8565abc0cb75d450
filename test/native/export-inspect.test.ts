/** `import`, `export` and `inspect` as their users meet them. */
import { readFileSync, writeFileSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { writeCheckpointTo } from '../../lib/checkpoints/checkpoint.js'
import { Network } from '../../lib/networks/network.js'
import { Tensor } from '../../lib/tensor/tensor.js'
import { command, differences, makeFolder } from './command.js'

const image = { channels: 3, height: 8, width: 8 }
const settings = {
  name: 'tiny',
  network: {
    kind: 'unet',
    channels: 8,
    multipliers: [1, 2],
    blocks: 1,
    attentionResolutions: [4],
    groups: 4,
    zeroLayers: 'none',
  },
  diffusion: { schedule: { kind: 'cosine', steps: 50 } },
  condition: { kind: 'none' },
  precision: 'float32',
} as const
const fixtures = fileURLToPath(new URL('../fixtures/torch-files/', import.meta.url))
const folder = makeFolder()
afterAll(() => folder.remove())

const input = Float32Array.from({ length: 2 * 192 }, (_, index) => Math.sin(index))
const labels = [3, 40]
let outputs: number[][] = []

/** `network` and `average.0` are networks of other seeds. */
beforeAll(async () => {
  const { kind, ...options } = settings.network
  const networks = await Promise.all(
    [1, 2].map((seed) =>
      Network.create(
        kind,
        { ...options, multipliers: [1, 2], attentionResolutions: [4] },
        { image, seed, device: 'cpu' },
      ),
    ),
  )
  const prefixes = ['network', 'average.0']
  outputs = await Promise.all(
    networks.map(async (network) => {
      using x = Tensor.from(input, [2, 3, 8, 8])
      using pass = await network.forward(x, labels, { gradient: false })
      using output = pass.output
      return [...(await output.data())]
    }),
  )
  await writeCheckpointTo(join(folder.path, 'model.safetensors'), {
    settings: JSON.parse(JSON.stringify(settings)),
    progress: { step: 9 },
    classes: [],
    image,
    tensors: networks.flatMap((network, index) =>
      network.parameters.map(({ name, shape }) => ({
        name: `${prefixes[index]}.${name}`,
        dtype: 'float32' as const,
        shape,
        read: async () => {
          using tensor = await network.read(name)
          return new Uint8Array((await tensor.data()).buffer)
        },
      })),
    ),
  })
  for (const network of networks) network.dispose()
})

/** N×C×H×W as nested lists. */
const nested = (values: ArrayLike<number>): number[][][][] =>
  [0, 1].map((n) =>
    [0, 1, 2].map((c) =>
      Array.from({ length: 8 }, (_, y) =>
        Array.from({ length: 8 }, (_, x) => values[((n * 3 + c) * 8 + y) * 8 + x] ?? 0),
      ),
    ),
  )

function writeFixture(name: string, output: ArrayLike<number>): string {
  const path = join(folder.path, name)
  writeFileSync(path, JSON.stringify({ input: nested(input), labels, output: nested(output) }))
  return path
}

const run = (...args: string[]) => command(args, folder.path)

describe('export', () => {
  test('what is exported is imported again, to the bit: the averaged copy unless told otherwise', async () => {
    const exported = await run(
      'export',
      'model.safetensors',
      '--format',
      'safetensors',
      '--out',
      'plain.safetensors',
      '--json',
    )
    expect(JSON.parse(exported.stdout)).toEqual({
      paths: ['plain.safetensors'],
      format: 'safetensors',
      weights: 'average.0',
      notes: [],
    })
    expect((await run('import', 'plain.safetensors', '--out', 'again.safetensors')).code).toBe(0)
    const again = await run('export', 'again.safetensors', '--format', 'safetensors', '--out', 'plain2.safetensors')
    expect(again.code).toBe(0)
    expect(await differences(join(folder.path, 'plain.safetensors'), join(folder.path, 'plain2.safetensors'))).toEqual(
      [],
    )
    await run(
      'export',
      'model.safetensors',
      '--format',
      'safetensors',
      '--weights',
      'trained',
      '--out',
      'trained.safetensors',
    )
    const other = await differences(join(folder.path, 'plain.safetensors'), join(folder.path, 'trained.safetensors'))
    expect(other).toContain('input.weight')
  })

  test.each([
    [['--format', 'onnx', '--out', 'x'], /one of safetensors, diffusers.*"onnx"/, 2],
    [['--format', 'safetensors', '--out', 'model.safetensors'], /another file than the checkpoint/, 2],
    [['--format', 'safetensors', '--out', 'x', '--weights', '3'], /trained, or an index from 0 to 0/, 2],
    [['--format', 'safetensors', '--out', 'model.safetensors/x'], /a part of the path is a file, not a folder/, 1],
    [['--format', 'safetensors', '--out', 'x.png'], /ends in \.safetensors for `out`/, 2],
    [['--format', 'diffusers', '--out', 'x.zip'], /Expected a folder for `out`/, 2],
  ])('%s is refused', async (args, message, code) => {
    const end = await run('export', 'model.safetensors', ...args)
    expect(end.stderr).toMatch(message)
    expect(end.code).toBe(code)
  })
})

describe('inspect', () => {
  test('a file of PyTorch: format, values, tensors', async () => {
    const end = await run('inspect', join(fixtures, 'training.pt'))
    expect(end.stdout).toMatch(/PyTorch, not a checkpoint of dpm-torch/)
    expect(end.stdout).toMatch(/step +1234/)
    expect(end.stdout).toMatch(/model\.0\.weight +F32 +2×3 +6/)
    const { files } = JSON.parse((await run('inspect', join(fixtures, 'views-legacy.pt'), '--json')).stdout)
    expect(files[0]).toMatchObject({ format: 'PyTorch (before 1.6)' })
    expect(files[0].tensors[0]).toEqual({ name: 'base', dtype: 'F32', shape: [4, 6] })
  })

  test('a file with code in it: an error, exit code 1, and nothing was run', async () => {
    const end = await run('inspect', join(fixtures, 'attack.pt'))
    expect(end).toMatchObject({ code: 1, stdout: '' })
    expect(end.stderr).toMatch(/"posix.system"/)
  })

  test('a folder of a model: its configuration and its weights', async () => {
    await mkdir(join(folder.path, 'pipe/unet'), { recursive: true })
    await writeFile(join(folder.path, 'pipe/model_index.json'), '{"_class_name":"DDPMPipeline"}')
    await writeFile(join(folder.path, 'pipe/unet/config.json'), '{"_class_name":"UNet2DModel","sample_size":8}')
    await writeFile(join(folder.path, 'pipe/unet/model.bin'), readFileSync(join(fixtures, 'types.pt')))
    const { configurations, files } = JSON.parse((await run('inspect', 'pipe', '--json')).stdout)
    expect(configurations).toMatchObject({
      'model_index.json': { _class_name: 'DDPMPipeline' },
      'unet/config.json': { sample_size: 8 },
    })
    expect(files[0].tensors).toHaveLength(10)
  })

  test('our own checkpoints are shown as before', async () => {
    const { progress, groups } = JSON.parse((await run('inspect', 'model.safetensors', '--json')).stdout)
    expect(progress).toEqual({ step: 9 })
    expect(groups.map(({ name }: { name: string }) => name)).toEqual(['average.0', 'network'])
  })
})

describe('inspect --verify', () => {
  test('the model of the fixture is told from another by its output', async () => {
    const same = writeFixture('same.json', outputs[1] ?? [])
    const other = writeFixture('other.json', outputs[0] ?? [])
    const end = await run('inspect', 'model.safetensors', '--verify', same)
    expect(end.stdout).toMatch(/largest difference of 384 numbers is .*\nWithin 0.0001/)
    expect(end.code).toBe(0)
    const wrong = await run('inspect', 'model.safetensors', '--verify', other, '--json')
    expect(wrong.code).toBe(1)
    expect(JSON.parse(wrong.stdout)).toMatchObject({ isSame: false, elements: 384 })
  })

  test.each([
    ['{}', /no input, labels, output/],
    ['{"input":[[1,2],[3]],"labels":[1],"output":[1]}', /input is no list of numbers/],
    ['{"input":[[[[[1]]]]],"labels":[1],"output":[1]}', /input is no list of numbers/],
    ['{"input":"x","labels":[1],"output":[1]}', /input is no list of numbers/],
    ['{"input":[[[[1]]]],"labels":[1],"output":[1]}', /Expected shape N×3×8×8/],
    ['[', /cannot be read as JSON: .* line 1, column 2/],
  ])('%s is refused', async (text, message) => {
    const path = join(folder.path, 'wrong.json')
    writeFileSync(path, text)
    const end = await run('inspect', 'model.safetensors', '--verify', path)
    expect(end.stderr).toMatch(message)
    expect(end.code).not.toBe(0)
  })
})
