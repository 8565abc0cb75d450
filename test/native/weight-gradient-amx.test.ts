import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { runChild } from './child.js'
import { tinyUnetSettings } from './tiny-unet.js'

/** By parameter: gradients of a U-Net. */
type Gradients = Record<string, number[]>

const tiles = readFileSync('/proc/cpuinfo', 'latin1').includes(' amx_bf16 ')

/** In a process of its own: the switch is read once. */
async function gradients(
  { height, width, channels, count }: Size,
  environment: Record<string, string> = {},
): Promise<Gradients> {
  const settings = tinyUnetSettings({
    image: { channels: 3, height, width },
    settings: { channels, groups: 8, heads: 1, attentionResolutions: [] },
  })
  Object.assign(process.env, environment)
  const { code, stdout, stderr } = await runChild(`
    const shape = [${count}, 3, ${height}, ${width}]
    const size = shape.reduce((a, b) => a * b)
    const numbers = (turn) => Float32Array.from({ length: size }, (_, i) => Math.sin(i * turn + Math.cos(i)))
    const tensor = (values) => binding.tensorCreate(new Uint8Array(values.buffer), shape, 'float32')
    const network = await binding.networkCreate('unet', ${JSON.stringify(settings)}, 3, 'cpu')
    const labels = Float64Array.from({ length: ${count} }, (_, i) => (i * 113) % 1000)
    const floats = async (handle) => [...new Float32Array(await binding.tensorData(handle))]
    const pass = await binding.networkForward(network, tensor(numbers(1.7)), labels, null, null, true, 'bfloat16', null)
    const { parameters } = await binding.passBackward(pass, tensor(numbers(0.9)))
    const names = binding.networkParameters(network).map(({ name }) => name)
    const result = {}
    for (const [i, parameter] of parameters.entries()) result[names[i]] = await floats(parameter)
    console.log(JSON.stringify(result))
  `)
  for (const name of Object.keys(environment)) delete process.env[name]
  expect(stderr).toBe('')
  expect(code).toBe(0)
  return JSON.parse(stdout) as Gradients
}

interface Size {
  readonly height: number
  readonly width: number
  readonly channels: number
  readonly count: number
}

const norm = (values: readonly number[]) => Math.sqrt(values.reduce((sum, value) => sum + value ** 2, 0))

/** How far two vectors are from each other, in lengths of the second. */
const distance = (a: readonly number[], b: readonly number[]) =>
  norm(b.map((value, i) => value - (a[i] ?? Number.NaN))) / norm(b)

describe.skipIf(!tiles)('gradients of weights by matrix tiles', () => {
  // Lines of even and odd length with their zero; channels of whole and of part blocks; more and fewer pixels than a chunk.
  test.each<Size>([
    { height: 16, width: 16, channels: 32, count: 8 },
    { height: 10, width: 14, channels: 24, count: 3 },
    { height: 4, width: 2, channels: 40, count: 1 },
  ])("are libtorch's, which rounds them to bfloat16 and we do not: %o", async (size) => {
    const [ours, plain] = [await gradients(size), await gradients(size, { DPM_TORCH_AMX: '0' })]
    const convolutions = Object.keys(plain).filter((name) => /conv|shortcut|input/.test(name))
    expect(convolutions.length).toBeGreaterThan(40)
    const far = convolutions.filter((name) => !(distance(ours[name] ?? [], plain[name] ?? []) < 2 ** -8))
    expect(far).toEqual([])
    const fine = (values: readonly number[] = []) => values.some((value) => !isBfloat16(value))
    expect(convolutions.filter((name) => !fine(ours[name]) || fine(plain[name]))).toEqual([])
  })
})

function isBfloat16(value: number): boolean {
  return (new Uint32Array(Float32Array.of(value).buffer)[0] ?? 0) % 65536 === 0
}
