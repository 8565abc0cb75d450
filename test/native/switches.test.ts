/** The switches of CONTRIBUTING.md, each read once in a process: what a process of its own makes under them. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { loadBinding } from '../../lib/native/load.js'
import { noisePurposes } from '../../lib/random/purposes.js'
import { encodeProgram, type Program } from '../../lib/sampling/program.js'
import { runChild } from './child.js'
import { holdHandles } from './handles.js'
import { allOf, apart, isSame, type LayerCase, runLayer } from './layer-alone.js'
import { attention, convolution, norm } from './layer-cases.js'
import { tinyImage, tinyUnetSettings } from './tiny-unet.js'
import { batchOf, planOf, trainingSettings } from './training-batch.js'

const held = holdHandles()
const folder = mkdtempSync(join(tmpdir(), 'dpm-torch-switches-'))
afterAll(() => rmSync(folder, { recursive: true }))

/** The script finds the data, which may be long, in scope as `given`. */
async function inProcess<Result>(
  environment: Readonly<Record<string, string>>,
  data: unknown,
  script: string,
): Promise<Result> {
  const file = join(folder, 'data.json')
  writeFileSync(file, JSON.stringify(data))
  const reading = `import { readFileSync } from 'node:fs'
    const given = JSON.parse(readFileSync(${JSON.stringify(file)}, 'utf8'))`
  Object.assign(process.env, environment)
  const { code, stdout, stderr } = await runChild(`${reading}\n${script}`)
  for (const name of Object.keys(environment)) delete process.env[name]
  expect(stderr).toBe('')
  expect(code).toBe(0)
  return JSON.parse(stdout) as Result
}

const layers: readonly LayerCase[] = [
  convolution([2, 16, 15, 17], 32),
  convolution([2, 32, 15, 17], 48, { kernel: 1 }),
  norm([4, 12, 5, 7], 3, { offset: true, scaled: true }),
  attention(2, 37, 3, 5, true),
  attention(1, 70, 2, 8),
  attention(1, 45, 2, 40),
  attention(1, 19, 1, 128),
]

const plain = { seed: 3, fused: true, precision: 'float32', place: 'plain', weightPlace: 'channels-last' }

/** Output and gradients of every layer. */
function layersIn(environment: Readonly<Record<string, string>>): Promise<number[][][]> {
  const described = layers.map((of) => ({
    ...of,
    inputs: of.inputs.map((input) => input && { ...input, values: Array.from(input.values) }),
    byOutput: { ...of.byOutput, values: Array.from(of.byOutput.values) },
    settings: { ...plain, again: false, twice: false, ...of.settings },
  }))
  return inProcess(
    environment,
    described,
    `await binding.setThreads(2)
    const tensor = (of) => of && binding.tensorCreate(new Uint8Array(Float32Array.from(of.values).buffer), of.shape, 'float32')
    const floats = async (handle) => (handle ? [...new Float32Array(await binding.tensorData(handle))] : [])
    const results = []
    for (const { layer, inputs, byOutput, settings } of given) {
      const { output, gradients } = await binding.layerAlone(layer, inputs.map(tensor), tensor(byOutput), settings)
      const lists = [await floats(output)]
      for (const gradient of gradients) lists.push(await floats(gradient))
      results.push(lists)
    }
    console.log(JSON.stringify(results))`,
  )
}

test.each([
  ['avx2', { DPM_TORCH_WINOGRAD: 'avx2', DPM_TORCH_POINTWISE: 'avx2', DPM_TORCH_FUSED_ATTENTION: 'avx2' }],
  ['the baseline', { DPM_TORCH_FUSED_ATTENTION: 'baseline' }],
])('in %s the layers are what they are in float64', async (_, environment) => {
  const found = await layersIn(environment)
  await loadBinding().setThreads(2)
  for (const [k, of] of layers.entries()) {
    const wanted = allOf(await runLayer(held, of, { fused: false, dtype: 'float64' }))
    for (const [i, list] of wanted.entries()) expect(apart(found[k]?.[i] ?? [], list), of.layer).toBeLessThan(5e-6)
    const operators = allOf(await runLayer(held, of, { fused: false }))
    expect(isSame(found[k] ?? [], operators)).toBe(false)
  }
})

test('off, the layers are the operators to the bit', async () => {
  const names = ['DPM_TORCH_WINOGRAD', 'DPM_TORCH_POINTWISE', 'DPM_TORCH_FUSED_NORMS', 'DPM_TORCH_FUSED_ATTENTION']
  const found = await layersIn(Object.fromEntries(names.map((name) => [name, '0'])))
  await loadBinding().setThreads(2)
  for (const [k, of] of layers.entries()) {
    expect(isSame(found[k] ?? [], allOf(await runLayer(held, of, { fused: false }))), of.layer).toBe(true)
  }
})

interface Work {
  readonly losses: number[]
  readonly weights: number[]
  readonly drawn: number[]
}

/** Two updates with dropout, and a run of a program with noise, sums and a ratio. */
function workIn(environment: Readonly<Record<string, string>>): Promise<Work> {
  const { images, ...batch } = batchOf(held, planOf([3, 1]), { update: null })
  loadBinding().dispose(images)
  const program: Program = {
    version: 1,
    name: 'test',
    registers: 4,
    inputs: { x: 0 },
    output: 3,
    steps: 0,
    instructions: [
      { op: 'noise', out: 1, purpose: noisePurposes.step, step: 0 },
      { op: 'evaluate', out: 2, x: 0, network: 0, condition: 'given', cIn: 0.5, cNoise: 12 },
      { op: 'ratio', out: 3, a: 1, b: 2, measure: 'norm', factor: 0.5, power: 1 },
      {
        op: 'combine',
        out: 3,
        terms: [
          [0.3, 3],
          [0.7, 0],
          [-0.2, 1],
          [0.1, 2],
        ],
      },
    ],
  }
  const given = {
    images: Array.from(planOf([3, 1]).images),
    shape: [2, tinyImage.channels, tinyImage.height, tinyImage.width],
    network: tinyUnetSettings({ settings: { dropout: 0.3 } }),
    // With a large epsilon updates are smooth: without, Adam takes the sign of gradients that are only rounding.
    training: { ...trainingSettings, epsilon: 0.1, averages: 1, clipNorm: 1 },
    batch,
    lists: { rows: [...batch.rows], examples: [...batch.examples], epochs: [...batch.epochs] },
    program: [...encodeProgram(program)],
  }
  return inProcess(
    environment,
    given,
    `const list = (values) => Float64Array.from(values)
    const floats = async (handle) => [...new Float32Array(await binding.tensorData(handle))]
    const images = Float32Array.from(given.images)
    const tensor = () => binding.tensorCreate(new Uint8Array(images.buffer), given.shape, 'float32')
    const network = await binding.networkCreate('unet', given.network, 3, 'cpu')
    const training = await binding.trainingCreate(network, given.training)
    const { rows, examples, epochs } = given.lists
    const losses = []
    for (const step of [1, 2]) {
      const update = { learningRate: 1e-2, step, averagingDecays: [0.5] }
      const lists = { rows: list(rows), examples: list(examples), epochs: list(epochs) }
      const batch = { ...given.batch, ...lists, images: tensor(), update }
      losses.push(...(await binding.trainingStep(training, batch, null)).losses)
    }
    const weights = []
    for (const { name } of binding.networkParameters(network)) {
      weights.push(...(await floats(await binding.networkRead(network, name))))
    }
    const options = { seed: 1, samples: list([0, 1]), chunk: 2, classes: null, image: null }
    const run = await binding.executionCreate([network], list(given.program), [tensor()], options, 'float32')
    await binding.executionAdvance(run, Infinity, null, null)
    console.log(JSON.stringify({ losses, weights, drawn: await floats(await binding.executionRead(run, 'output')) }))`,
  )
}

test('off, training and sampling go on as they did', async () => {
  const names = ['NOISE', 'LOSS', 'OPTIMIZER', 'DROPOUT', 'COMBINE', 'RATIO', 'NORMS', 'ATTENTION']
  const off = Object.fromEntries(names.map((name) => [`DPM_TORCH_FUSED_${name}`, '0']))
  const [fused, operators] = [
    await workIn({}),
    await workIn({ ...off, DPM_TORCH_WINOGRAD: '0', DPM_TORCH_POINTWISE: '0' }),
  ]
  expect(apart(operators.losses, fused.losses)).toBeLessThan(1e-5)
  expect(apart(operators.weights, fused.weights)).toBeLessThan(1e-3)
  expect(apart(operators.drawn, fused.drawn)).toBeLessThan(1e-3)
  expect(isSame([operators.losses], [fused.losses])).toBe(false)
})
