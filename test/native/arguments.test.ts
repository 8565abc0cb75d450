import { expect, test } from 'vitest'
import { bindingNames } from '../../lib/native/binding.js'
import { runChild } from './child.js'

/**
 * Every function with a strange value in each place, the others right; then in each field of its objects. In a process of
 * its own, which must survive: C++ that believes a type crashes.
 */
test('no wrong argument of any function crashes the process: each is a typed error', { timeout: 120_000 }, async () => {
  const end = await runChild(`
    const network = await createNetwork()
    const image = createInput()
    const labels = new Float64Array(4).fill(1)
    const pass = await binding.networkForward(network, image, labels, null, null, true, 'float32', null)
    const settings = { optimizer: 'adam', beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0, clipNorm: 0, averages: 1, precision: 'float32', activationCheckpointing: false }
    const training = await binding.trainingCreate(network, settings)
    const execution = await createExecution(1)
    const cancellation = binding.cancellationCreate()
    const spare = binding.cancellationCreate()
    const profile = binding.profileCreate()
    const { inputChannels, height, width } = networkSettings
    const stepSettings = { channels: 4, forwardChannels: 4, multipliers: [1], dropout: 0, initialization: 'he-normal', inputChannels, conditionChannels: 0, outputChannels: inputChannels, height, width, classes: 0, nullClass: false }
    const steps = await binding.networkCreate('modified-ddp', stepSettings, 1, 'cpu')
    const batch = {
      images: image, classes: null, condition: null, rows: new Float64Array(4 * 13).fill(0.5), examples: Float64Array.of(0, 1, 2, 3), epochs: new Float64Array(4),
      seed: 1, total: 4, loss: 'l2', lossScale: 1, noiseExamples: null, noiseEpochs: null, forwardStep: null, detachMean: false, rowGradients: false, follows: null, first: true, update: { learningRate: 0, step: 1, averagingDecays: [0.5] },
    }
    const options = { seed: 1, samples: Float64Array.of(0, 1, 2, 3), chunk: 4, classes: null, image: null }
    const program = Float64Array.of(1, 1, 0, 1, 0, 0)
    const value = await binding.networkRead(network, 'input.bias')
    const joint = binding.tensorCreate(new Uint8Array(48), [1, 2, 6], 'float32')
    const pair = binding.tensorCreate(new Uint8Array(32), [4, 2], 'float32')
    const scales = binding.tensorCreate(new Uint8Array(4 * inputChannels), [inputChannels], 'float32')
    const four = binding.tensorCreate(new Uint8Array(32), [4], 'float64')
    const layerSettings = {
      seed: 1, fused: true, precision: 'float32', place: 'plain', weightPlace: 'plain', again: false, twice: false,
      groups: 1, epsilon: 1e-5, dilation: 1, heads: 1, interleaved: false, probability: 0.5,
    }
    const kernelSettings = {
      seed: 1, fused: true, inPlace: false, measure: 'norm', factor: 1, power: 1, loss: 'l2', scale: 1, total: 4, site: 0, probability: 0.5,
      gradientScale: 1, beta1: 0.9, beta2: 0.9, epsilon: 1, stepSize: 1, secondCorrection: 1, decay: 0, shrink: 0,
    }
    const right = {
      version: [], memory: [], setThreads: [1], cudaDeviceCount: [], cancellationCreate: [], cancel: [spare], dispose: [spare],
      tensorCreate: [new Uint8Array(4), [1], 'float32'], tensorInfo: [image], tensorData: [image], tensorConvert: [image, 'float32', 'cpu'],
      randomNormal: [1, 0, 0, Float64Array.of(0), [1, 2], 'cpu'],
      attend: [joint, null, { heads: 1, channels: 2, first: 0, columns: false, interleaved: false, fused: true }],
      layerAlone: ['group-norm-silu', [image, scales, scales, null, null, null], image, layerSettings], kernelAlone: ['ratio', [pair, pair], kernelSettings],
      networkCreate: ['unet', networkSettings, 1, 'cpu'],
      networkDescribe: ['unet', networkSettings], networkParameters: [network], networkRead: [network, 'input.bias'], networkWrite: [network, 'input.bias', value],
      networkForward: [network, image, labels, null, null, false, 'float32', cancellation, profile], networkEncode: [steps, image, labels, labels], passOutput: [pass], passBackward: [pass, image],
      trainingCreate: [network, settings], trainingStep: [training, batch, cancellation, profile], pairingCosts: [image, batch.examples, batch.epochs, 1], trainingTensors: [training],
      trainingRead: [training, 'average.0.input.bias'], trainingWrite: [training, 'average.0.input.bias', value], trainingSettle: [training], trainingBegin: [training, 0], trainingAveraged: [training, 0],
      profileCreate: [], profileRead: [profile], measureConvolution: [{ count: 1, channels: 1, size: 1 }, 'float32', 'cpu', 1, cancellation], measureCopy: [1, 'cpu', 1, cancellation],
      executionCreate: [[network], program, [image], options, 'float32'], executionAdvance: [execution, 1, null, cancellation], executionAnswer: [execution, image],
      executionRead: [execution, 'output'],
    }
    const cycle = {}; cycle.self = cycle
    const detached = new Float64Array(4); structuredClone(detached, { transfer: [detached.buffer] })
    const strange = [
      undefined, null, true, 0, -1, 1.5, NaN, Infinity, 2 ** 60, 1n, '', 'x', 'cuda:99', Symbol('s'), () => { throw new Error('called') }, {}, cycle, [], [null], [[]], [-1], [{}],
      new Array(70).fill(1), new Float64Array(0), Float64Array.of(NaN, -1, 1e300, 2 ** 40), new Float32Array(4), new Int32Array(4).fill(-7), new Int32Array(3), new BigInt64Array(4), new Uint8Array(3), new ArrayBuffer(8),
      new DataView(new ArrayBuffer(8)), new Float64Array(new SharedArrayBuffer(32)), detached, new Proxy({}, { get() { throw new Error('trap') }, ownKeys() { throw new Error('trap') } }),
      { toString() { throw new Error('called') }, valueOf() { throw new Error('called') } }, { seed: 1 }, Object.create(null), new Date(), image, network, pass, training, execution, cancellation, Promise.resolve(),
    ]
    let calls = 0
    const untyped = []
    const attempt = async (name, values) => {
      calls += 1
      try {
        await binding[name](...values)
      } catch (error) {
        // A setting that TypeScript forgot is a fault of ours, and named so; nothing else may be.
        const internal = error?.code === 'DPM_INTERNAL' && !/native setting|was not given the setting/.test(error.message)
        const typed = typeof error?.code === 'string' && error.code.startsWith('DPM_') && !internal
        if (!typed && error?.message !== 'trap') untyped.push([name, String(error?.message ?? error)])
      }
    }
    for (const [name, values] of Object.entries(right)) {
      await attempt(name, values)
      for (let count = 0; count < values.length; count++) await attempt(name, values.slice(0, count))
      for (let place = 0; place <= values.length; place++) {
        for (const other of strange) {
          if (name === 'dispose' && place === 0 && other !== spare) { if ([image, network, pass, training, execution, cancellation].includes(other)) continue }
          if (name === 'cancel' && other === cancellation) continue
          await attempt(name, values.with ? Object.assign([...values], { [place]: other }) : values)
        }
        const fields = values[place]
        if (fields === null || typeof fields !== 'object' || Object.getPrototypeOf(fields) !== Object.prototype || Object.keys(fields).length === 0) continue
        for (const field of Object.keys(fields)) {
          for (const other of strange) {
            const changed = { ...fields, [field]: other }
            if (other === undefined && (name === 'networkCreate' || name === 'networkDescribe')) delete changed[field]
            await attempt(name, Object.assign([...values], { [place]: changed }))
          }
        }
      }
    }
    for (const field of ['learningRate', 'step', 'averagingDecays']) {
      for (const other of strange) await attempt('trainingStep', [training, { ...batch, update: { ...batch.update, [field]: other } }, cancellation])
    }
    // Every layer and kernel of its own, given too few, too many and the wrong.
    const given = [image, joint, pair, scales, four]
    const lists = [[], [null], ...given.map((each) => [each]), ...given.flatMap((a) => given.map((b) => [a, b])), ...given.map((each) => Array(3).fill(each)), ...given.map((each) => Array(6).fill(each)), [four, ...Array(70).fill(four)]]
    for (const name of ['convolution', 'group-norm-silu', 'attention', 'dropout'])
      for (const list of lists) for (const fused of [true, false]) await attempt('layerAlone', [name, list, null, { ...layerSettings, fused }])
    for (const name of ['noise-step', 'combine', 'ratio', 'loss', 'optimizer', 'dropout'])
      for (const list of lists) for (const fused of [true, false]) await attempt('kernelAlone', [name, list, { ...kernelSettings, fused }])
    console.log(JSON.stringify({ functions: Object.keys(right), calls, untyped: untyped.slice(0, 20) }))
    process.exit(0)`)
  expect({ code: end.code, signal: end.signal, stderr: end.stderr }).toEqual({ code: 0, signal: null, stderr: '' })
  const { functions, calls, untyped } = JSON.parse(end.stdout) as {
    functions: string[]
    calls: number
    untyped: unknown[]
  }
  expect(functions).toEqual(bindingNames)
  expect(calls).toBeGreaterThan(4_000)
  expect(untyped).toEqual([])
})
