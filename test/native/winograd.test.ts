import { expect, test } from 'vitest'
import { runChild } from './child.js'
import { tinyUnetSettings } from './tiny-unet.js'

interface Numbers {
  readonly output: number[]
  readonly gradients: number[][]
}

/** Output and gradients of a U-Net with convolutions that fit, in a process of its own: the switch is read once. */
async function compute(winograd: '0' | '1' | 'avx2', image: { height: number; width: number }, channels: number) {
  const settings = tinyUnetSettings({
    image: { channels: 3, ...image },
    settings: { channels, groups: 8, heads: 1, attentionResolutions: [] },
  })
  process.env['DPM_TORCH_WINOGRAD'] = winograd
  const { code, stdout, stderr } = await runChild(`
    const shape = [8, 3, ${image.height}, ${image.width}]
    const size = shape.reduce((a, b) => a * b)
    const numbers = (turn) => Float32Array.from({ length: size }, (_, i) => Math.sin(i * turn + Math.cos(i)))
    const tensor = (values) => binding.tensorCreate(new Uint8Array(values.buffer), shape, 'float32')
    const network = await binding.networkCreate('unet', ${JSON.stringify(settings)}, 3, 'cpu')
    const labels = Float64Array.from([1, 20, 300, 4, 500, 60, 7, 800])
    const pass = await binding.networkForward(network, tensor(numbers(1.7)), labels, null, null, true, 'float32', null)
    const floats = async (handle) => [...new Float32Array(await binding.tensorData(handle))]
    const output = await floats(binding.passOutput(pass))
    const { input, parameters } = await binding.passBackward(pass, tensor(numbers(0.9)))
    const gradients = [await floats(input)]
    for (const parameter of parameters) gradients.push(await floats(parameter))
    console.log(JSON.stringify({ output, gradients }))
  `)
  delete process.env['DPM_TORCH_WINOGRAD']
  expect(stderr).toBe('')
  expect(code).toBe(0)
  return JSON.parse(stdout) as Numbers
}

const greatest = (values: readonly number[]) => values.reduce((most, value) => Math.max(most, Math.abs(value)), 0)

function expectClose(ours: readonly number[], theirs: readonly number[], tolerance: number): void {
  expect(ours.length).toBe(theirs.length)
  const distance = ours.reduce((most, value, i) => Math.max(most, Math.abs(value - (theirs[i] ?? Number.NaN))), 0)
  expect(distance).toBeLessThanOrEqual(tolerance * greatest(theirs))
}

// Sizes that tiles of two fill, and that they do not; channels of whole and of half panels of registers.
test.each([
  ['1', { height: 16, width: 16 }, 32],
  ['1', { height: 14, width: 18 }, 48],
  ['avx2', { height: 18, width: 14 }, 16],
] as const)('Winograd convolutions are convolutions: %s, %o, %i channels', async (instructions, image, channels) => {
  const fast = await compute(instructions, image, channels)
  const plain = await compute('0', image, channels)
  expectClose(fast.output, plain.output, 1e-5)
  expect(fast.output).not.toEqual(plain.output)
  // Biases before a norm over single channels have gradients that cancel to nearly nothing: measured on the greatest of all.
  const scale = greatest(plain.gradients.flat())
  for (const [i, gradient] of fast.gradients.entries()) {
    const theirs = plain.gradients[i] ?? []
    const distance = gradient.reduce((most, value, k) => Math.max(most, Math.abs(value - (theirs[k] ?? Number.NaN))), 0)
    expect(distance).toBeLessThanOrEqual(Math.max(1e-4 * greatest(theirs), 1e-6 * scale))
  }
})
