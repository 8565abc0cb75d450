/**
 * Every fused layer is its twin of libtorch's operators: convolutions with fewer products, norm and SiLU in one, attention.
 *
 * The kernels know float32 only. So the twin's gradient is checked by differences in float64, coordinate by coordinate; the
 * kernel's values and gradients are held to that float64 twin; and the kernel itself is checked by differences once more, along
 * a direction, as coarsely as float32 allows.
 */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { loadBinding } from '../../lib/native/load.js'
import { holdHandles } from './handles.js'
import {
  allOf,
  apart,
  drawn,
  isSame,
  type LayerCase,
  type Manner,
  runLayer,
  sizeOf,
  slopeOf,
  type Values,
} from './layer-alone.js'
import { attention, convolution, norm } from './layer-cases.js'

const held = holdHandles()
const { threads, capability } = loadBinding().version()
beforeEach(() => loadBinding().setThreads(2))
afterEach(() => loadBinding().setThreads(threads))

const float64: Manner = { fused: false, dtype: 'float64' }

const fused: readonly (readonly [string, LayerCase])[] = [
  ['a convolution of whole tiles', convolution([2, 16, 16, 16], 32)],
  ['a convolution of odd height and width', convolution([3, 32, 13, 17], 48)],
  ['a convolution of a prime size, without bias', convolution([1, 48, 23, 23], 16, { biased: false })],
  ['a convolution of one row', convolution([1, 16, 1, 257], 16)],
  ['a convolution of one column', convolution([3, 16, 127, 1], 16)],
  ['a convolution 1×1', convolution([2, 32, 16, 16], 48, { kernel: 1 })],
  ['a convolution 1×1 of a prime number of pixels', convolution([1, 48, 1, 257], 16, { kernel: 1 })],
  ['a convolution 1×1 of more pixels than a gradient sums at once', convolution([3, 16, 13, 17], 80, { kernel: 1 })],
  ['a norm', norm([2, 8, 4, 4], 4)],
  ['a norm of one pixel', norm([3, 12, 1, 1], 3)],
  ['a norm of prime sizes, told of an offset', norm([3, 21, 7, 13], 7, { offset: true })],
  ['a norm of single channels, told of scale and shift', norm([2, 5, 3, 11], 5, { scaled: true })],
  ['a norm of one group, told of all', norm([5, 17, 6, 5], 1, { offset: true, scaled: true })],
  ['a norm of more rows than a sum takes at once', norm([2, 24, 16, 16], 6, { offset: true })],
  ['a norm of one image, its groups shared among the threads', norm([1, 72, 9, 7], 24, { offset: true, scaled: true })],
  ['attention', attention(2, 64, 2, 8)],
  ['attention of odd heads and prime positions', attention(2, 37, 3, 5, true)],
  ['attention of one position', attention(3, 1, 2, 16)],
  ['attention of wide heads', attention(1, 31, 2, 40)],
]

const unfused: readonly (readonly [string, LayerCase])[] = [
  ['channels in of no whole registers', convolution([2, 24, 16, 16], 16)],
  ['channels out of no whole registers', convolution([2, 16, 16, 16], 20)],
  ['few tiles', convolution([1, 16, 1, 1], 16)],
  ['another kernel', convolution([2, 16, 16, 16], 16, { kernel: 5 })],
  ['1×1, channels of no whole registers', convolution([2, 24, 16, 16], 16, { kernel: 1 })],
  ['1×1, few pixels', convolution([1, 16, 7, 9], 16, { kernel: 1 })],
  ['1×1, no images', convolution([0, 16, 16, 16], 16, { kernel: 1 })],
  ['apart taps', convolution([2, 16, 16, 16], 16, { dilation: 2 })],
  ['no images to convolve', convolution([0, 16, 16, 16], 16)],
  ['no images to norm', norm([0, 8, 4, 4], 4, { offset: true, scaled: true })],
]

/** Without AVX2 there are no convolutions of ours. */
const present = fused.filter(([, { layer }]) => layer !== 'convolution' || capability !== 'DEFAULT')

describe.each(present)('%s', (_, of) => {
  test('has the values and the gradients of float64', async () => {
    const [found, wanted] = [await runLayer(held, of), await runLayer(held, of, float64)]
    expect(apart(found.output, wanted.output)).toBeLessThan(3e-6)
    for (const [i, gradient] of wanted.gradients.entries()) {
      expect(apart(found.gradients[i] ?? [], gradient), `by input ${i}`).toBeLessThan(5e-6)
    }
    expect(isSame([(await runLayer(held, of, { gradient: false })).output], [found.output])).toBe(true)
  })

  test('is not what the switch brings back, and near to it', async () => {
    const [found, plain] = [await runLayer(held, of), await runLayer(held, of, { fused: false })]
    expect(apart(found.output, plain.output)).toBeLessThan(1e-5)
    expect(isSame(allOf(found), allOf(plain))).toBe(false)
  })

  test('has a twin whose gradient is the slope of its values', async () => {
    const { gradients } = await runLayer(held, of, float64)
    for (const [which, input] of of.inputs.entries()) {
      if (!input) continue
      const largest = gradients[which]?.reduce((most, value) => Math.max(most, Math.abs(value)), 0) ?? 0
      for (let k = 0; k < 4; k++) {
        const index = (k * 7919 + 13) % sizeOf(input.shape)
        const move = { which, direction: (i: number) => (i === index ? 1 : 0), h: 1e-5 }
        const slope = await slopeOf(held, of, float64, move)
        expect(Math.abs(slope - (gradients[which]?.[index] ?? 0)), `input ${which}`).toBeLessThan(1e-7 * (1 + largest))
      }
    }
  })

  test('has a gradient that is the slope of its own values', async () => {
    const { gradients } = await runLayer(held, of)
    for (const [which, input] of of.inputs.entries()) {
      if (!input) continue
      const { values } = drawn(input.shape, 20 + which)
      const direction = (i: number) => values[i] ?? 0
      const slope = await slopeOf(held, of, {}, { which, direction, h: 1e-2 })
      const wanted = gradients[which]?.reduce((sum, value, i) => sum + value * direction(i), 0) ?? Number.NaN
      const size = Math.hypot(...(gradients[which] ?? [])) * Math.hypot(...Array.from(values))
      expect(Math.abs(slope - wanted), `input ${which}`).toBeLessThan(1e-3 * size)
    }
  })

  test.each(['channels-last', 'transposed', 'sliced', 'spaced'] as const)(
    'is the same to the bit where all lies %s in memory',
    async (place) => {
      await loadBinding().setThreads(1)
      expect(isSame(allOf(await runLayer(held, of, { place })), allOf(await runLayer(held, of)))).toBe(true)
    },
  )

  test('takes a gradient that is one number for all, as that of a sum is', async () => {
    const one = { ...of, byOutput: { values: [0.7], shape: [1] } }
    const whole = { ...of, byOutput: { ...of.byOutput, values: new Array(of.byOutput.values.length).fill(0.7) } }
    await loadBinding().setThreads(1)
    expect(isSame(allOf(await runLayer(held, one)), allOf(await runLayer(held, whole)))).toBe(true)
  })

  test('refuses that its gradient is differentiated; a pass that says so does without it', async () => {
    await expect(runLayer(held, of, { again: true })).rejects.toMatchObject({
      code: 'DPM_NOT_IMPLEMENTED',
      message: expect.stringMatching(/^The gradient of the fused .* cannot be differentiated again/),
    })
    const plain = await runLayer(held, of, { fused: false, twice: true, again: true })
    expect(isSame(allOf(await runLayer(held, of, { twice: true, again: true })), allOf(plain))).toBe(true)
  })

  test('has a twin whose gradient has a gradient', async () => {
    const manner: Manner = { ...float64, twice: true }
    const { gradients } = await runLayer(held, of, { ...manner, again: true })
    const length = ({ gradients }: Awaited<ReturnType<typeof runLayer>>) =>
      gradients.reduce((sum, list) => list.reduce((total, value) => total + value * value, sum), 0) / 2
    for (const [which, input] of of.inputs.entries()) {
      if (!input) continue
      const { values } = drawn(input.shape, 20 + which)
      const direction = (i: number) => values[i] ?? 0
      const slope = await slopeOf(held, of, manner, { which, direction, h: 1e-5 }, length)
      const wanted = gradients[which]?.reduce((sum, value, i) => sum + value * direction(i), 0) ?? Number.NaN
      expect(Math.abs(slope - wanted), `input ${which}`).toBeLessThan(1e-6 * (1 + Math.abs(wanted)))
    }
  })

  test.each([
    ['bfloat16', 2e-2],
    ['float16', 2e-3],
  ] as const)('in %s is near to what it is in float32', async (precision, tolerance) => {
    const [half, single] = [await runLayer(held, of, { precision }), await runLayer(held, of)]
    expect(apart(half.output, single.output)).toBeLessThan(tolerance)
    for (const [i, gradient] of single.gradients.entries()) {
      expect(apart(half.gradients[i] ?? [], gradient), `by input ${i}`).toBeLessThan(tolerance)
    }
  })
})

describe.each(unfused)('what does not fit is left to libtorch: %s', (_, of) => {
  test('in value and gradient', async () => {
    const found = await runLayer(held, of)
    expect(isSame(allOf(found), allOf(await runLayer(held, of, { fused: false })))).toBe(true)
    expect(found.output).toHaveLength(sizeOf(of.byOutput.shape))
    for (const [i, input] of of.inputs.entries()) {
      expect(found.gradients[i]).toHaveLength(input ? sizeOf(input.shape) : 0)
      expect(found.gradients[i]?.every(Number.isFinite)).toBe(true)
    }
  })
})

test('a weight that does not lie channels-last is left to libtorch', async () => {
  const of = convolution([2, 16, 16, 16], 16)
  const manner = { weightPlace: 'plain' } as const
  expect(
    isSame(allOf(await runLayer(held, of, manner)), allOf(await runLayer(held, of, { ...manner, fused: false }))),
  ).toBe(true)
})

test('no images to attend to give no numbers', async () => {
  const found = await runLayer(held, attention(0, 9, 2, 8))
  expect([...found.output, ...(found.gradients[0] ?? [])]).toEqual([])
})

test.each([100, -3000])('a norm of numbers far from zero, about %d, keeps its digits', async (mean) => {
  const of = norm([2, 8, 9, 9], 4, { mean })
  const [found, wanted] = [await runLayer(held, of), await runLayer(held, of, float64)]
  // x itself has lost |mean| / 2^24 of its spread of 1.5.
  const lost = (Math.abs(mean) * 2 ** -24) / 1.5
  expect(apart(found.output, wanted.output)).toBeLessThan(20 * lost)
})

describe.each([
  ['of one image', norm([1, 72, 9, 7], 24, { offset: true, scaled: true })],
  ['of three', norm([3, 40, 5, 5], 5, { offset: true })],
] as const)('the numbers of a norm %s', (_, of) => {
  test.each(['float32', 'bfloat16'] as const)('are the same by however many threads, in %s', async (precision) => {
    const runs: (readonly Float64Array[])[] = []
    for (const count of [1, 2, 5]) {
      await loadBinding().setThreads(count)
      runs.push(allOf(await runLayer(held, of, { precision })))
    }
    const [alone = [], ...shared] = runs
    for (const run of shared) expect(isSame(run, alone)).toBe(true)
  })
})

test.each([norm([2, 24, 16, 16], 6), norm([5, 17, 6, 5], 1, { offset: true, scaled: true })])(
  'a norm in bfloat16 is that of float32, rounded',
  async (of) => {
    const nearest = ({ values, shape }: Values): Values => ({ values: Array.from(values, toBfloat16), shape })
    const rounded = { ...of, inputs: of.inputs.map((each, i) => each && (i === 0 ? nearest(each) : each)) }
    const single = await runLayer(held, { ...rounded, byOutput: nearest(of.byOutput) })
    const half = await runLayer(held, of, { precision: 'bfloat16' })
    const wanted = [single.output, ...single.gradients].map((list, i) => (i < 2 ? list.map(toBfloat16) : list))
    expect(isSame(allOf(half), wanted)).toBe(true)
  },
)

test('groups that do not divide the channels are refused', async () => {
  await expect(runLayer(held, norm([2, 8, 4, 4], 3))).rejects.toMatchObject({
    code: 'DPM_INVALID_OPTION',
    message: 'The groups of a norm, 3, do not divide its 8 channels.',
  })
})

describe('dropout', () => {
  const probability = 0.3
  const of: LayerCase = {
    layer: 'dropout',
    inputs: [drawn([3, 5, 7, 3], 14, 1, 9)],
    byOutput: drawn([3, 5, 7, 3], 15),
    settings: { probability },
  }

  test('multiplies by a mask of 0 and 1 / (1 - probability), on the way back too', async () => {
    const { output, gradients } = await runLayer(held, of)
    const mask = output.map((value, i) => value / (of.inputs[0]?.values[i] ?? 0))
    for (const factor of mask) expect(Math.min(factor, Math.abs(factor * (1 - probability) - 1))).toBeLessThan(1e-6)
    expect(new Set(mask.map(Math.round)).size).toBe(2)
    expect(
      apart(
        gradients[0] ?? [],
        mask.map((factor, i) => factor * (of.byOutput.values[i] ?? 0)),
      ),
    ).toBeLessThan(1e-6)
  })

  test.each(['channels-last', 'transposed', 'sliced', 'spaced'] as const)('wherever x lies: %s', async (place) => {
    expect(isSame(allOf(await runLayer(held, of, { place })), allOf(await runLayer(held, of)))).toBe(true)
  })

  test('of no images gives none', async () => {
    const none = { ...of, inputs: [drawn([0, 5, 7, 3], 1)], byOutput: drawn([0, 5, 7, 3], 1) }
    expect(await runLayer(held, none)).toEqual({ output: new Float64Array(), gradients: [new Float64Array()] })
  })
})

/** The nearest number of bfloat16, the even one of two. */
function toBfloat16(value: number): number {
  const bits = new Uint32Array(Float32Array.of(value).buffer)
  const [whole = 0] = bits
  bits[0] = (whole + 0x7fff + ((whole >>> 16) & 1)) & 0xffff0000
  return new Float32Array(bits.buffer)[0] ?? Number.NaN
}
