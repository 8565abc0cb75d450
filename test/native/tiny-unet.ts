/** A U-Net of a few thousand weights that has every kind of layer, and what the tests read of it. */
import type { NativeSettings, NetworkHandle, TensorHandle } from '../../lib/native/binding.js'
import { loadBinding } from '../../lib/native/load.js'
import { type UnetOptions, unet } from '../../lib/networks/unet.js'
import { normals } from '../../lib/random/philox.js'
import { type Held, takeFloats } from './handles.js'

export interface TinyUnetOptions {
  readonly image?: { readonly channels: number; readonly height: number; readonly width: number }
  readonly classes?: number
  readonly outputs?: 1 | 2
  /** Beside or instead of the small defaults. */
  readonly settings?: Partial<UnetOptions>
  readonly seed?: number
}

export const tinyImage = { channels: 3, height: 8, width: 8 } as const
export const tinyElements = 3 * 8 * 8

export function tinyUnetSettings({
  image = tinyImage,
  classes = 0,
  outputs = 1,
  settings = {},
}: TinyUnetOptions = {}): NativeSettings {
  const options = {
    kind: 'unet',
    channels: 8,
    multipliers: [1, 2],
    blocks: 1,
    attentionResolutions: [4],
    heads: 2,
    groups: 4,
    zeroLayers: 'none',
    classConditional: classes > 0,
    ...settings,
  }
  return unet.native(unet.options.parse(options), image, classes, outputs)
}

export async function createTinyUnet(held: Held, options: TinyUnetOptions = {}): Promise<NetworkHandle> {
  return held(await loadBinding().networkCreate('unet', tinyUnetSettings(options), options.seed ?? 1, 'cpu'))
}

/** N images of standard normals, N × elements; image n depends on its index alone. */
export function drawImages(count: number, elements = tinyElements, seed = 11): Float32Array {
  const images = new Float32Array(count * elements)
  for (let n = 0; n < count; n++) images.set(normals(seed, 'initial', 0, n, elements), n * elements)
  return images
}

/** Every parameter by name. */
export async function readParameters(network: NetworkHandle): Promise<Map<string, Float32Array>> {
  const binding = loadBinding()
  const values = new Map<string, Float32Array>()
  for (const { name } of binding.networkParameters(network)) {
    values.set(name, await takeFloats(await binding.networkRead(network, name)))
  }
  return values
}

/** The network's bare output for N images. */
export async function runForward(
  held: Held,
  network: NetworkHandle,
  x: { readonly values: ArrayLike<number>; readonly shape: readonly number[] },
  labels: Float64Array,
  classes: Int32Array | null = null,
  image: TensorHandle | null = null,
): Promise<Float32Array> {
  const binding = loadBinding()
  const input = held(binding.tensorCreate(new Uint8Array(Float32Array.from(x.values).buffer), x.shape, 'float32'))
  const pass = held(await binding.networkForward(network, input, labels, classes, image, false, 'float32', null))
  return takeFloats(binding.passOutput(pass))
}
