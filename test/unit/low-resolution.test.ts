/** What a super-resolution network sees: made as PyTorch makes it, the same from training images and from pictures. */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { conditionedNetwork, createCondition } from '../../lib/generation/conditions/list.js'
import { enlarge } from '../../lib/images/enlarge.js'
import { shrink } from '../../lib/images/shrink.js'
import { networkSchema } from '../../lib/networks/list.js'

const fixture = JSON.parse(
  readFileSync(new URL('../fixtures/resize/resize.json', import.meta.url), 'utf8'),
) as Readonly<
  Record<'image' | 'area3' | 'nearest3' | 'bilinear3' | 'bilinear2', number[]> &
    Record<'shape', [number, number, number]>
>
const [channels, height, width] = fixture.shape
const shape = { channels, height, width }
const small = { channels, height: height / 3, width: width / 3 }

function largestDifference(a: ArrayLike<number>, b: readonly number[]): number {
  expect(a.length).toBe(b.length)
  return b.reduce((top, value, i) => Math.max(top, Math.abs(value - (a[i] ?? Number.NaN))), 0)
}

// Values up to 255 in float32.
const rounding = 255 * 2 ** -23

test('shrink takes the means of squares, as PyTorch does by area', () => {
  expect(largestDifference(shrink(fixture.image, shape, 3), fixture.area3)).toBeLessThan(rounding)
})

test.each([
  ['nearest', 3, 'nearest3'],
  ['bilinear', 3, 'bilinear3'],
] as const)('enlarge %s by %d is PyTorch’s', (kind, factor, name) => {
  expect(largestDifference(enlarge(fixture.area3, small, factor, kind), fixture[name])).toBeLessThan(rounding)
})

test('enlarge bilinear by an even factor is PyTorch’s too', () => {
  expect(largestDifference(enlarge(fixture.image, shape, 2, 'bilinear'), fixture.bilinear2)).toBeLessThan(rounding)
})

test('shrink undoes nearest', () => {
  const large = { channels, height: 4 * height, width: 4 * width }
  expect([...shrink(enlarge(fixture.image, shape, 4, 'nearest'), large, 4)]).toEqual(fixture.image)
})

test('a training image is seen as its small picture would be when sampling', async () => {
  const image = { channels: 1, height: 8, width: 12 }
  const condition = createCondition({ kind: 'low-resolution', factor: 4, enlarge: 'bilinear' }, image)
  // Squares of one value have it for their mean, so that the small picture is whole bytes.
  const picture = Uint8Array.of(0, 255, 128, 3, 77, 200)
  const bytes = Uint8Array.from(enlarge(picture, { channels: 1, height: 2, width: 3 }, 4, 'nearest'))
  const seen = await condition?.ofImages(bytes, 1)
  const scaled = Float64Array.from(picture, (byte) => byte / 127.5 - 1)
  expect(condition).toMatchObject({ channels: 1, picture: { channels: 1, height: 2, width: 3 } })
  expect(seen).toEqual(enlarge(scaled, { channels: 1, height: 2, width: 3 }, 4, 'bilinear'))
})

test('a network has as many condition channels as the condition', () => {
  const condition = createCondition({ kind: 'low-resolution', factor: 2, enlarge: 'nearest' }, { ...shape, width: 10 })
  const network = (conditionChannels: number) => networkSchema.parse({ kind: 'unet', conditionChannels })
  expect(conditionedNetwork(network(0), condition).conditionChannels).toBe(channels)
  expect(conditionedNetwork(network(channels), condition).conditionChannels).toBe(channels)
  expect(conditionedNetwork(network(0), undefined).conditionChannels).toBe(0)
  expect(() => conditionedNetwork(network(5), condition)).toThrow(
    /conditionChannels` is 5.*`condition` "low-resolution"/,
  )
  expect(() => conditionedNetwork(network(1), undefined)).toThrow(/conditionChannels` is 1.*`condition` is "none"/)
})

test('a factor must divide the images', () => {
  expect(() => createCondition({ kind: 'low-resolution', factor: 4, enlarge: 'nearest' }, shape)).toThrow(
    /`condition.factor` that divides the images' 6×9 but received 4/,
  )
})
