/** Runs that begin from, keep, mix or judge images, on a small network. */
import { describe, expect, onTestFinished, test } from 'vitest'
import { createProcess, parseDiffusion } from '../../lib/diffusion/diffusion-options.js'
import { toImages } from '../../lib/generation/gallery.js'
import type { GenerateOptions } from '../../lib/generation/generate.js'
import { drawNoise, interpolateNoise } from '../../lib/generation/noise.js'
import { Images } from '../../lib/images/image-batch.js'
import { Network } from '../../lib/networks/network.js'
import { sample } from '../../lib/sampling/sample.js'
import { Tensor } from '../../lib/tensor/tensor.js'
import { holdSources } from './tiny-sources.js'
import { tinyElements, tinyImage } from './tiny-unet.js'

const { networkOf, sourceOf, draw } = holdSources()

function largestDifference(a: Float32Array, b: Float32Array): number {
  expect(a.length).toBe(b.length)
  return a.reduce((top, value, i) => Math.max(top, Math.abs(value - (b[i] ?? Number.NaN))), 0)
}

function pictures(count: number): Images {
  const data = Uint8Array.from({ length: count * tinyElements }, (_, i) => (i * 89 + (i >> 4)) % 256)
  return new Images(data, [count, tinyImage.channels, tinyImage.height, tinyImage.width])
}

/** Draws in the left half. */
const mask = Float32Array.from({ length: 64 }, (_, i) => (i % 8 < 4 ? 1 : 0))

describe('inpainting', () => {
  test('keeps every byte outside the mask, and draws inside', async () => {
    const known = pictures(2)
    const drawn = await toImages(
      Tensor.from(await draw({ count: 2, inpaint: { known, mask } }), [2, 3, 8, 8]) as Tensor<'float32'>,
      tinyImage,
    )
    let same = 0
    drawn.data.forEach((byte, i) => {
      if (i % 8 >= 4) expect(byte).toBe(known.data[i])
      else if (byte === known.data[i]) same += 1
    })
    expect(same).toBeLessThan(20)
  })

  test('knows from the kept part: another image gives another drawing', async () => {
    const [one, other] = [pictures(2), new Images(new Uint8Array(2 * tinyElements), [2, 3, 8, 8])]
    const a = await draw({ count: 2, inpaint: { known: one, mask } })
    const b = await draw({ count: 2, inpaint: { known: other, mask } })
    expect(Math.abs((a[0] ?? 0) - (b[0] ?? 0))).toBeGreaterThan(1e-3)
  })
})

test('a run from an image keeps the more of it the weaker it is', async () => {
  const images = pictures(2)
  const floats = Float32Array.from(images.data, (byte) => byte / 127.5 - 1)
  const [weak, strong] = [
    await draw({ count: 2, image: { images, strength: 0.2 } }),
    await draw({ count: 2, image: { images, strength: 0.9 } }),
  ]
  const distance = (a: Float32Array): number => a.reduce((sum, v, i) => sum + Math.abs(v - (floats[i] ?? 0)), 0)
  expect(distance(weak)).toBeLessThan(0.5 * distance(strong))
})

test('an image does not depend on what is drawn with it, whatever is asked of it', async () => {
  const known = pictures(1)
  const options: GenerateOptions = {
    sampler: { kind: 'ddim', eta: 1 },
    inpaint: { known, mask },
    weaker: { source: sourceOf(1) },
    guidance: { kind: 'auto', scale: 1.5 },
    guides: [{ gradient: async (x) => x.to({}), scale: 0.3 }],
  }
  const together = await draw({ ...options, samples: [5, 0, 9, 2] })
  const alone = await draw({ ...options, samples: [9] })
  const pair = await draw({ ...options, samples: [2, 9] })
  expect(together.slice(2 * tinyElements, 3 * tinyElements)).toEqual(alone)
  expect(pair.slice(tinyElements)).toEqual(alone)
})

test.each(['ddpm', 'dpm++2m-sde', 'predictor-corrector'] as const)(
  '%s: 1×16, 2×8, 16×1 and shuffled are the same bytes at one chunk shape',
  async (sampler) => {
    const keys = Array.from({ length: 16 }, (_, index) => index)
    const of = (samples: readonly number[]) => draw({ sampler, samples, steps: 2, chunk: 4 })
    const whole = await of(keys)
    const at = (drawn: Float32Array, place: number) => drawn.slice(place * tinyElements, (place + 1) * tinyElements)
    const halves = [await of(keys.slice(0, 8)), await of(keys.slice(8))]
    const shuffled = keys.map((key) => (key * 7 + 3) % 16)
    const mixed = await of(shuffled)
    for (const key of keys) {
      expect(at(halves[key >> 3] ?? whole, key & 7)).toEqual(at(whole, key))
      expect(at(mixed, shuffled.indexOf(key))).toEqual(at(whole, key))
      expect(await of([key])).toEqual(at(whole, key))
    }
  },
)

describe('autoguidance', () => {
  test('away from the network itself goes nowhere, and with scale 1 asks nobody else', async () => {
    const plain = await draw({ count: 2 })
    const itself = await draw({ count: 2, weaker: { source: sourceOf(0) }, guidance: { kind: 'auto', scale: 3 } })
    expect(largestDifference(itself, plain)).toBeLessThan(1e-4)
    const one = await draw({ count: 2, weaker: { source: sourceOf(1) }, guidance: { kind: 'auto', scale: 1 } })
    expect(one).toEqual(plain)
  })

  test('with scale 0 is the weaker network', async () => {
    const weaker = await draw({ count: 2 }, sourceOf(1))
    const zero = await draw({ count: 2, weaker: { source: sourceOf(1) }, guidance: { kind: 'auto', scale: 0 } })
    expect(largestDifference(zero, weaker)).toBeLessThan(1e-6)
  })

  test('refuses a weaker model of another process, and none at all', async () => {
    await expect(draw({ guidance: { kind: 'auto' } })).rejects.toThrow('Give one as `weaker`')
    const other = { ...sourceOf(1), process: createProcess(parseDiffusion({ prediction: 'noise' })) }
    await expect(draw({ weaker: { source: other }, guidance: { kind: 'auto' } })).rejects.toThrow(
      'The weaker model has another schedule',
    )
  })
})

describe('noise', () => {
  test('given as `initial` draws what its keys draw', async () => {
    using initial = await drawNoise(sourceOf(0), 4, [7, 8])
    expect(await draw({ seed: 4, initial, count: 2 })).toEqual(await draw({ seed: 4, samples: [7, 8] }))
  })

  test('is interpolated from one end to the other at the length that it has', async () => {
    using a = await drawNoise(sourceOf(0), 4, [1])
    using b = await drawNoise(sourceOf(0), 4, [2])
    using points = await interpolateNoise(a, b, 5)
    const values = await points.data()
    const [first, last] = [await a.data(), await b.data()]
    expect(largestDifference(values.slice(0, tinyElements), first)).toBeLessThan(1e-6)
    expect(largestDifference(values.slice(4 * tinyElements), last)).toBeLessThan(1e-6)
    const norm = (part: Float32Array): number => Math.sqrt(part.reduce((sum, value) => sum + value * value, 0))
    const middle = norm(values.slice(2 * tinyElements, 3 * tinyElements))
    expect(middle).toBeGreaterThan(0.9 * Math.min(norm(first), norm(last)))
  })

  test('and an image are not both where a run begins', async () => {
    using initial = await drawNoise(sourceOf(0), 4, [1])
    await expect(draw({ initial, image: { images: pictures(1), strength: 0.5 }, count: 1 })).rejects.toThrow(
      '`initial` and `image` both say where x begins',
    )
  })
})

test.each<[string, GenerateOptions, string]>([
  [
    'an image of another size',
    { count: 2, image: { images: new Images(new Uint8Array(75), [1, 3, 5, 5]), strength: 0.5 } },
    'Expected images of 3×8×8',
  ],
  [
    'three images for two samples',
    { count: 2, image: { images: pictures(3), strength: 0.5 } },
    'Expected 1 image, or 2',
  ],
  [
    'a strength of 0',
    { count: 1, image: { images: pictures(1), strength: 0 } },
    'Expected a number above 0, at most 1',
  ],
  [
    'a mask of another size',
    { count: 1, inpaint: { known: pictures(1), mask: [1, 0] } },
    'Expected 8×8 (height×width) numbers',
  ],
  [
    'a mask beyond 1',
    { count: 1, inpaint: { known: pictures(1), mask: mask.map((m) => 2 * m) } },
    'Expected numbers from 0, which is kept, to 1',
  ],
  ['a low resolution for a network that sees none', { count: 1, lowResolution: pictures(1) }, 'sees no image beside x'],
])('%s is refused', async (_, options, message) => {
  await expect(draw(options)).rejects.toThrow(message)
})

test('an adaptive sampler asks the native network what it would ask a denoiser in JavaScript, for each image alone', async () => {
  const spacing = { kind: 'karras' } as const
  const sampler = { kind: 'rk23', rtol: 0.05, atol: 0.05 } as const
  const together = await draw({ sampler, spacing, samples: [4, 7] })
  const alone = await draw({ sampler, spacing, samples: [7] })
  expect(together.slice(tinyElements)).toEqual(alone)
  const { process } = sourceOf(0)
  using noise = await drawNoise(sourceOf(0), 0, [7])
  const { data, program } = await sample({
    denoiser: async (x, level) => {
      // The same number of examples in a call as above, for the same sums.
      const pair = new Float32Array(2 * tinyElements)
      pair.set(x)
      using input = Tensor.from(pair, [2, 3, 8, 8])
      using pass = await networkOf(0).forward(input, [process.label(level), process.label(level)], { gradient: false })
      return (await pass.output.data()).slice(0, tinyElements)
    },
    prediction: 'velocity',
    schedule: process.schedule,
    shape: [1, 3, 8, 8],
    initial: await noise.data(),
    sampler,
    spacing,
    steps: 8,
  })
  expect(program).toBeUndefined()
  expect(largestDifference(alone, Float32Array.from(data))).toBeLessThan(1e-5)
})

describe('numbers that are none', () => {
  test('from the network end the run at their step, naming the sample', async () => {
    const network = await Network.create(
      'unet',
      { channels: 8, multipliers: [1], blocks: 1, attentionResolutions: [], middleAttention: false, groups: 4 },
      { image: tinyImage, device: 'cpu' },
    )
    onTestFinished(() => network.dispose())
    const source = { ...sourceOf(0), network: network.handle }
    await draw({ count: 2 }, source)
    const last = network.parameters.at(-1)
    using broken = Tensor.from(new Float32Array(3).fill(Number.NaN), [3])
    await network.write(last?.name ?? '', broken)
    await expect(draw({ count: 2 }, source)).rejects.toMatchObject({
      code: 'DPM_NON_FINITE',
      message: expect.stringContaining('After step 1 there are NaN or infinite numbers in sample 0, 1.') as string,
    })
  })

  test('from a guide end the run, naming the sample', async () => {
    const gradient = async (x: Tensor): Promise<Tensor> =>
      Tensor.from(
        Float32Array.from({ length: 2 * tinyElements }, (_, i) => (i > tinyElements ? Number.POSITIVE_INFINITY : 0)),
        x.shape,
      )
    await expect(draw({ count: 2, guides: [{ gradient }] })).rejects.toThrow('numbers in sample 1.')
  })

  test.each<[string, GenerateOptions, string]>([
    ['a scale', { guides: [{ gradient: async (x) => x.to({}), scale: Number.NaN }] }, '`guides.0.scale`'],
    ['a strength', { image: { images: pictures(1), strength: Number.NaN } }, '`strength`'],
    ['a mask', { inpaint: { known: pictures(1), mask: mask.map(() => Number.NaN) } }, '`inpaint.mask`'],
    ['a seed', { seed: Number.NaN }, '`seed`'],
    ['noise keys', { samples: [Number.NaN] }, '`samples`'],
    ['a guidance', { guidance: Number.NaN }, '`guidance`'],
  ])('%s are refused before the run', async (_, options, message) => {
    await expect(draw({ count: 1, ...options })).rejects.toThrow(message)
  })

  test('as the noise that a run begins with are refused before it', async () => {
    using initial = Tensor.from(new Float32Array(tinyElements).fill(Number.NaN), [1, 3, 8, 8])
    await expect(draw({ count: 1, initial })).rejects.toThrow('Expected finite numbers for `initial` but received NaN.')
  })
})

test('inversion and DDIM: an image comes back, the nearer the more steps', async () => {
  const image = pictures(1)
  const floats = Float32Array.from(image.data, (byte) => byte / 127.5 - 1)
  const errors: number[] = []
  for (const steps of [10, 40]) {
    const given = Tensor.from(floats, [1, 3, 8, 8])
    const noise = await draw({ sampler: 'ddim-inversion', initial: given, steps, count: 1 })
    given.dispose()
    using initial = Tensor.from(noise, [1, 3, 8, 8])
    errors.push(largestDifference(await draw({ initial, steps, count: 1 }), floats))
  }
  expect(errors[1]).toBeLessThan(0.5 * (errors[0] ?? 0))
  await expect(draw({ sampler: 'ddim-inversion' })).rejects.toThrow('give the image as `initial`')
})
