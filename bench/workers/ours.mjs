// Our side of a measurement: a process that does what it is told, a line of JSON at a time, and answers with one.
import { answerRequests, networkOf, timed } from './answer.mjs'

const { Diffusion, Network, Tensor } = await import('../../dist/index.js')
const { call } = await import('../../dist/native/call.js')
const { rowFields } = await import('../../dist/native/binding.js')
const { writeSafetensors } = await import('../../dist/checkpoints/safetensors.js')

let network
let training
let settings
let steps = 0

async function build({ config, batch, precision, threads }) {
  await call(undefined, (binding) => binding.setThreads(threads))
  const { size, rows: classes, options } = networkOf(config)
  network = await Network.create(
    'unet-2d',
    { ...options, classConditional: classes > 0, nullClass: false },
    { image: { channels: 3, height: size, width: size }, classes, device: 'cpu' },
  )
  return prepare({ size, classes, batch, precision })
}

/** The network of a checkpoint, where it comes from elsewhere. */
async function open({ path, size, classes, batch, precision, threads }) {
  await call(undefined, (binding) => binding.setThreads(threads))
  network = (await Diffusion.load(path, { device: 'cpu' })).network
  return prepare({ size, classes, batch, precision })
}

async function prepare(chosen) {
  settings = chosen
  const optimizer = { optimizer: 'adam', beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0, clipNorm: 1 }
  training = await call(undefined, (binding) =>
    binding.trainingCreate(network.handle, {
      ...optimizer,
      averages: 1,
      activationCheckpointing: false,
      precision: settings.precision,
    }),
  )
  return { parameters: network.size }
}

const shape = () => [settings.batch, 3, settings.size, settings.size]
const perImage = (value) => Float64Array.from({ length: settings.batch }, (_, n) => value(n))
const labels = () => perImage((n) => (n * 37) % 1000)

function classes() {
  if (settings.classes === 0) return undefined
  return Int32Array.from({ length: settings.batch }, (_, n) => n % settings.classes)
}

function input() {
  const [n, c, h, w] = shape()
  return Tensor.from(
    Float32Array.from({ length: n * c * h * w }, (_, i) => 1.5 * Math.sin(i * 12.9898 + Math.sin(i))),
    [n, c, h, w],
  )
}

function forwardOnce(x) {
  return network.forward(x, labels(), { classes: classes(), gradient: false, precision: settings.precision })
}

/** An input and our output for it, and the weights unless the peer has them, for the peer to take. */
async function write({ path, weights = true }) {
  const x = input()
  const pass = await forwardOnce(x)
  const sources = []
  const add = (name, tensor) =>
    sources.push({
      name,
      dtype: 'F32',
      shape: tensor.shape,
      read: async () => new Uint8Array((await tensor.data()).buffer),
    })
  add('x', x)
  add('output', pass.output)
  for (const { name } of weights ? network.parameters : []) add(`network.${name}`, await network.read(name))
  await writeSafetensors(path, sources)
  return {}
}

/** Whole steps: the noise drawn and mixed in, forward, loss, backward, clipping, Adam, averaging. */
async function train({ steps: count }) {
  const { batch, size } = settings
  const images = Tensor.from(
    Uint8Array.from({ length: batch * 3 * size * size }, (_, i) => (i * 7919) % 256),
    shape(),
  )
  const row = { alpha: 0.8, sigma: 0.6, cIn: 1, targetNoise: 1, weight: 1 }
  const rows = new Float64Array(batch * rowFields.length)
  for (let n = 0; n < batch; n++) {
    const values = { ...row, cNoise: labels()[n] }
    for (const [i, field] of rowFields.entries()) rows[n * rowFields.length + i] = values[field] ?? 0
  }
  return timed(count, async () => {
    steps++
    const report = await call(undefined, (binding, cancellation) =>
      binding.trainingStep(
        training,
        {
          images: images.handle,
          classes: classes() ?? null,
          condition: null,
          rows,
          examples: perImage((n) => n),
          epochs: perImage(() => steps),
          noiseExamples: null,
          noiseEpochs: null,
          forwardStep: null,
          seed: 1,
          total: batch,
          loss: 'l2',
          lossScale: 1,
          detachMean: false,
          rowGradients: false,
          first: true,
          update: { learningRate: 1e-4, step: steps, averagingDecays: [0.999] },
        },
        cancellation,
      ),
    )
    if (!report.finite) throw new Error('The loss is not finite.')
  })
}

async function forward({ times }) {
  const x = input()
  return timed(times, async () => (await forwardOnce(x)).dispose())
}

const memory = async () => ({ peakBytes: process.resourceUsage().maxRSS * 1024 })

await answerRequests({ build, open, write, train, forward, memory })
