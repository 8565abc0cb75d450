// Our side of a whole sampling run: a checkpoint, loaded and drawn from as a user does; and of the sampling loop's own cost.
import { answerRequests, networkOf, timed } from './answer.mjs'

const { Diffusion, Network, Tensor } = await import('../../dist/index.js')
const { call, callSync } = await import('../../dist/native/call.js')
const { writeCheckpointTo } = await import('../../dist/checkpoints/checkpoint.js')
const { writeSafetensors } = await import('../../dist/checkpoints/safetensors.js')
const { createProcess, parseDiffusion } = await import('../../dist/diffusion/diffusion-options.js')
const { createGuidance, parseGuidance } = await import('../../dist/diffusion/guidance/list.js')
const { selectLevels } = await import('../../dist/sampling/levels.js')
const { encodeProgram } = await import('../../dist/sampling/program.js')
const { parseSampler, recordSampler } = await import('../../dist/sampling/samplers.js')
const { startGeneration } = await import('../../dist/generation/generate.js')

let model
let asked

/** Makes a model, writes it as a checkpoint, and opens that. The last row of the class table means "no class". */
async function open({ config, sampling, threads, path }) {
  await call(undefined, (binding) => binding.setThreads(threads))
  const { size, rows, options } = networkOf(config)
  const image = { channels: 3, height: size, width: size }
  const chosen = { ...options, classConditional: true, nullClass: true }
  const network = await Network.create('unet-2d', chosen, { image, classes: rows - 1, device: 'cpu' })
  await writeCheckpointTo(path, {
    settings: {
      network: { kind: 'unet-2d', ...chosen },
      diffusion: { schedule: 'linear', prediction: 'noise', clip: 'none' },
    },
    progress: { step: 0 },
    classes: Array.from({ length: rows - 1 }, (_, index) => `class ${index}`),
    image,
    tensors: network.parameters.map(({ name, shape }) => ({
      name: `network.${name}`,
      dtype: 'float32',
      shape,
      read: async () => bytesOf(await network.read(name)),
    })),
  })
  network.dispose()
  model = await Diffusion.load(path, { device: 'cpu' })
  const { count, steps, guidance } = sampling
  asked = {
    count,
    steps,
    guidance,
    sampler: 'dpm++2m',
    spacing: { kind: 'linspace', dropCleanest: true },
    classes: Array.from({ length: rows - 1 }, (_, index) => index),
  }
  return {}
}

async function bytesOf(tensor) {
  const values = await tensor.data()
  tensor.dispose()
  return new Uint8Array(values.buffer)
}

/** The noise that a run begins with and the floats that it ends with, for the peer to compare. */
async function draw({ path }) {
  const { count, sampler, spacing, steps, guidance, classes } = asked
  const noise = await model.noise({ samples: Array.from({ length: count }, (_, sample) => sample) })
  const generation = await startGeneration(model.source, { count, sampler, spacing, steps, guidance, classes })
  await generation.run.advance(Number.POSITIVE_INFINITY, {})
  const output = await generation.run.read('output')
  const sources = Object.entries({ noise, output }).map(([name, tensor]) => ({
    name,
    dtype: 'F32',
    shape: tensor.shape,
    read: () => bytesOf(tensor),
  }))
  await writeSafetensors(path, sources)
  generation[Symbol.dispose]()
  return { classes: Array.from(generation.classes) }
}

const sample = ({ times }) => timed(times, () => model.sample(asked))

/** Microseconds of a program's step that are not spent in the network: 1000 steps on one image of 2×2. */
async function overhead({ sampler, times }) {
  const image = { channels: 1, height: 2, width: 2 }
  const network = await Network.create('mlp', { width: 8, depth: 1 }, { image, device: 'cpu' })
  const process = createProcess(parseDiffusion({ schedule: 'linear', prediction: 'noise' }))
  const [levels, guidance] = [selectLevels(process.schedule, {}), createGuidance(parseGuidance(1))]
  const program = recordSampler(parseSampler(sampler), {
    ...process,
    levels,
    guidance,
    clip: process.settings.clip,
    variance: process.settings.variance,
    learnsVariance: false,
    condition: 'null',
    guides: [],
    start: 'given',
    inpaint: false,
  })
  const options = { seed: 0, samples: Float64Array.of(0), chunk: 1, classes: null, image: null }
  const microseconds = []
  for (let time = 0; time < times; time++) {
    const x = Tensor.from(Float32Array.of(1, -1, 0.5, 0), [1, 1, 2, 2])
    const execution = await call(undefined, (binding) =>
      binding.executionCreate([network.handle], encodeProgram(program), [x.handle], options, 'float32'),
    )
    const begin = performance.now()
    const { networkSeconds } = await call(undefined, (binding) =>
      binding.executionAdvance(execution, Number.MAX_SAFE_INTEGER, null, null),
    )
    const seconds = (performance.now() - begin) / 1000 - networkSeconds
    microseconds.push((seconds * 1e6) / program.steps)
    callSync((binding) => binding.dispose(execution))
    x.dispose()
  }
  network.dispose()
  return { microseconds }
}

await answerRequests({ open, draw, sample, overhead })
