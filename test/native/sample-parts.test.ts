/** A run in parts is the run at once, to the bit, whatever each sample is given. */
import { expect, test } from 'vitest'
import { dealClasses, type GenerateOptions, startGeneration } from '../../lib/generation/generate.js'
import { drawNoise } from '../../lib/generation/noise.js'
import { partsOf } from '../../lib/generation/parts.js'
import { Images } from '../../lib/images/image-batch.js'
import { Tensor } from '../../lib/tensor/tensor.js'
import { holdSources } from './tiny-sources.js'
import { tinyElements, tinyImage } from './tiny-unet.js'

const { sourceOf, draw } = holdSources()
const count = 5

function pictures(many: number): Images {
  const data = Uint8Array.from({ length: many * tinyElements }, (_, i) => (i * 89 + (i >> 4)) % 256)
  return new Images(data, [many, tinyImage.channels, tinyImage.height, tinyImage.width])
}

async function inParts(options: GenerateOptions, skip?: (place: number) => boolean) {
  const images = new Map<number, Float32Array>()
  const sizes: number[] = []
  for await (const part of partsOf(sourceOf(0), { steps: 3, chunk: 2, ...options }, { skip })) {
    const values = await draw(part.options)
    sizes.push(part.places.length)
    for (const [n, place] of part.places.entries()) {
      images.set(place, values.slice(n * tinyElements, (n + 1) * tinyElements))
    }
  }
  return { images, sizes }
}

const perPixel = Float32Array.from({ length: count * 64 }, (_, i) => (i % 7 < 3 ? 1 : 0))

test.each<[string, GenerateOptions]>([
  ['noise alone, with noise on the way', { sampler: { kind: 'ddim', eta: 1 } }],
  ['from a number on', { first: 7 }],
  ['keys of its own', { samples: [9, 0, 4, 1, 7] }],
  ['a picture for each', { image: { images: pictures(count), strength: 0.7 } }],
  ['one picture for all', { image: { images: pictures(1), strength: 0.7 } }],
  ['a mask for each', { inpaint: { known: pictures(count), mask: perPixel } }],
  [
    'masks as images',
    {
      inpaint: {
        known: pictures(1),
        mask: new Images(
          Uint8Array.from(perPixel, (v) => 255 * v),
          [count, 1, 8, 8],
        ),
      },
    },
  ],
  [
    'a guide that knows whom it is asked about',
    {
      first: 3,
      guides: [
        {
          gradient: async (x, { places }) => {
            const values = places.flatMap((place) => new Array<number>(tinyElements).fill(0.01 * place))
            return Tensor.from(Float32Array.from(values), x.shape)
          },
        },
      ],
    },
  ],
])('%s', async (_, options) => {
  const whole = await draw({ steps: 3, chunk: 2, count, ...options })
  const { images, sizes } = await inParts({ count, ...options })
  expect(sizes).toEqual([2, 2, 1])
  for (let place = 0; place < count; place++) {
    expect(images.get(place)).toEqual(whole.slice(place * tinyElements, (place + 1) * tinyElements))
  }
  const some = await inParts({ count, ...options }, (place) => place === 0 || place === 3)
  expect([...some.images.keys()]).toEqual([1, 2, 4])
  for (const [place, image] of some.images) expect(image).toEqual(images.get(place))
})

test('an `initial` for each', async () => {
  using initial = await drawNoise(sourceOf(0), 4, [1, 2, 3, 4, 5])
  const whole = await draw({ steps: 3, chunk: 2, count, initial })
  const { images } = await inParts({ count, initial })
  for (let place = 0; place < count; place++) {
    expect(images.get(place)).toEqual(whole.slice(place * tinyElements, (place + 1) * tinyElements))
  }
})

test('images first … are those of the run from 0 on, and so are their classes', async () => {
  const whole = await draw({ steps: 3, count: 5 })
  const tail = await draw({ steps: 3, first: 3, count: 2 })
  expect(tail).toEqual(whole.slice(3 * tinyElements))
  const source = { classes: ['a', 'b', 'c'], nullClass: false }
  const all = dealClasses(source, ['c', 0], 6, undefined, 0)
  expect(dealClasses(source, ['c', 0], 3, undefined, 3)).toEqual(all?.slice(3))
  const asked = [2, 0, 1]
  for await (const { options, places } of partsOf(
    { ...sourceOf(0), classes: source.classes },
    { count: 7, chunk: 2, first: 4, classes: asked },
  )) {
    expect(options.classes).toEqual(places.map((place) => asked[(4 + place) % 3]))
  }
})

test.each<[GenerateOptions, RegExp]>([
  [{ image: { images: pictures(3), strength: 0.5 } }, /1 image, or 5 for `image\.images` but received 3/],
  [{ inpaint: { known: pictures(2), mask: perPixel } }, /1 image, or 5 for `inpaint\.known` but received 2/],
  [{ first: -1 }, /a whole number from 0 to .* for `first`/],
  [{ first: 2, samples: [1, 2, 3, 4, 5] }, /both say which images/],
  [{ first: 2 ** 32 - 2 }, /at most 4294967296 images/],
])('%j is refused before anything is drawn', async (options, message) => {
  await expect(inParts({ count, ...options })).rejects.toThrow(message)
})

test.each([
  [{ count: 4e9 }, /Draw fewer at a time: `sampleBatches`/, 'DPM_OUT_OF_MEMORY'],
  [{ count: 1e15 }, /a whole number from 1 to 4294967296 for `count`/, 'DPM_INVALID_OPTION'],
  [
    { inpaint: { known: pictures(1), mask: new Float32Array(63) } },
    /8×8 \(height×width\) numbers/,
    'DPM_INVALID_ARGUMENT',
  ],
  [
    { inpaint: { known: pictures(1), mask: new Float32Array(64).fill(255) } },
    /Divide bytes by 255/,
    'DPM_INVALID_ARGUMENT',
  ],
  [
    { inpaint: { known: pictures(1), mask: pictures(1) } },
    /images of 1×8×8 .* received "3×8×8"/,
    'DPM_INVALID_ARGUMENT',
  ],
])('%j is refused', async (options, message, code) => {
  await expect(startGeneration(sourceOf(0), options)).rejects.toMatchObject({
    code,
    message: expect.stringMatching(message),
  })
})
