import { describe, expect, test } from 'vitest'
import { toFloat32 } from '../../lib/checkpoints/archives/float-values.js'
import { type ArchiveTensor, under } from '../../lib/checkpoints/archives/tensor-archive.js'
import { asked } from '../../lib/checkpoints/import/define-import.js'
import {
  concatenated,
  filled,
  from,
  type Piece,
  part,
  pointwise,
  regrouped,
  reshaped,
  reversed,
  scaled,
  transposed,
  type Values,
} from '../../lib/checkpoints/import/pieces.js'

/** 0, 1, 2, … in each shape. */
function counted(shape: readonly number[]): Values {
  const length = shape.reduce((product, size) => product * size, 1)
  return { shape, data: Float32Array.from({ length }, (_, index) => index) }
}

async function evaluate(piece: Piece, sources: Readonly<Record<string, readonly number[]>>): Promise<Values> {
  const shape = piece.shapeOf((name) => sources[name] ?? [])
  const values = await piece.valuesOf(async (name) => counted(sources[name] ?? []))
  expect(values.shape, 'what a piece says of its shape').toEqual(shape)
  return values
}

describe('pieces', () => {
  test.each<[string, Piece, readonly number[], readonly number[], readonly number[]]>([
    ['from', from('a'), [2, 2], [2, 2], [0, 1, 2, 3]],
    ['transposed', transposed(from('a')), [2, 3], [3, 2], [0, 3, 1, 4, 2, 5]],
    ['transposed, three axes', transposed(from('a'), [2, 0, 1]), [2, 1, 2], [2, 2, 1], [0, 2, 1, 3]],
    ['part 1 of 3', part(from('a'), 1, 3), [3, 2], [1, 2], [2, 3]],
    ['pointwise', pointwise(from('a')), [2, 1, 1, 1], [2, 1], [0, 1]],
    ['pointwise in one dimension', pointwise(from('a')), [2, 2, 1], [2, 2], [0, 1, 2, 3]],
    ['reshaped', reshaped(from('a'), (shape) => [...shape, 1, 1]), [2, 1], [2, 1, 1, 1], [0, 1]],
    ['scaled', scaled(from('a'), 0.5), [2], [2], [0, 0.5]],
    ['reversed', reversed(from('a')), [3, 2], [3, 2], [4, 5, 2, 3, 0, 1]],
    ['filled', filled(7, [2]), [9], [2], [7, 7]],
    // Two heads, each q, k, v of one row: q0 k0 v0 q1 k1 v1 → q0 q1 k0 k1 v0 v1.
    ['regrouped', regrouped(from('a'), 2, 3), [6], [6], [0, 3, 1, 4, 2, 5]],
    ['regrouped there and back', regrouped(regrouped(from('a'), 2, 3), 3, 2), [6], [6], [0, 1, 2, 3, 4, 5]],
    ['regrouped rows', regrouped(from('a'), 2, 2), [4, 2], [4, 2], [0, 1, 4, 5, 2, 3, 6, 7]],
  ])('%s', async (_, piece, shape, wantedShape, wanted) => {
    const values = await evaluate(piece, { a: shape })
    expect(values.shape).toEqual(wantedShape)
    expect([...values.data]).toEqual(wanted)
  })

  test('concatenated joins rows and names its sources', async () => {
    const piece = concatenated([from('q'), transposed(from('k'))])
    expect(piece.names).toEqual(['q', 'k'])
    const values = await evaluate(piece, { q: [1, 2], k: [2, 2] })
    expect(values.shape).toEqual([3, 2])
    expect([...values.data]).toEqual([0, 1, 0, 2, 1, 3])
  })

  test.each<[string, Piece, Readonly<Record<string, readonly number[]>>, RegExp]>([
    [
      'rows of another width',
      concatenated([from('a'), from('b')]),
      { a: [1, 2], b: [1, 3] },
      /1×2 and 1×3 cannot be joined/,
    ],
    ['an uneven split', part(from('a'), 0, 3), { a: [4] }, /4 rows cannot be split into 3/],
    ['a 3×3 kernel', pointwise(from('a')), { a: [2, 2, 3, 3] }, /2×2×3×3 is not a 1×1 convolution/],
    ['another rank', transposed(from('a')), { a: [2, 2, 1] }, /has 3 axes, not 2/],
    ['heads that do not divide', regrouped(from('a'), 4, 3), { a: [6] }, /6 rows cannot be grouped into 4 times 3/],
    ['another size', reshaped(from('a'), () => [5]), { a: [6] }, /6 cannot be laid out as 5/],
  ])('%s is refused by its shape alone', (_, piece, shapes, message) => {
    expect(() => piece.shapeOf((name) => shapes[name] ?? [])).toThrow(message)
  })
})

describe('elements as float32', () => {
  const bytes = (view: ArrayBufferView<ArrayBuffer>): Uint8Array<ArrayBuffer> =>
    new Uint8Array(view.buffer, view.byteOffset, view.byteLength)

  test.each([
    ['F64', Float64Array.of(0.1, -2), [Math.fround(0.1), -2]],
    ['F32', Float32Array.of(0.1, -2), [Math.fround(0.1), -2]],
    // 1, -2, the largest, the smallest subnormal, infinity (IEEE 754 binary16)
    ['F16', Uint16Array.of(0x3c00, 0xc000, 0x7bff, 0x0001, 0x7c00), [1, -2, 65504, 2 ** -24, Number.POSITIVE_INFINITY]],
    ['BF16', Uint16Array.of(0x3f80, 0xc000, 0x7f80), [1, -2, Number.POSITIVE_INFINITY]],
    ['I64', BigInt64Array.of(3n, -4n), [3, -4]],
    ['I32', Int32Array.of(3, -4), [3, -4]],
    ['I16', Int16Array.of(3, -4), [3, -4]],
    ['I8', Int8Array.of(3, -4), [3, -4]],
    ['U8', Uint8Array.of(3, 255), [3, 255]],
    ['BOOL', Uint8Array.of(0, 1), [0, 1]],
  ] as const)('%s', (dtype, view, wanted) => {
    expect([...toFloat32(dtype, bytes(view as ArrayBufferView<ArrayBuffer>))]).toEqual(wanted)
  })

  test('float32 that is not aligned in its buffer is read all the same', () => {
    const shifted = new Uint8Array(9)
    shifted.set(bytes(Float32Array.of(1.5, -2.5)), 1)
    expect([...toFloat32('F32', shifted.subarray(1))]).toEqual([1.5, -2.5])
  })

  test('a type without a reading is named', () => {
    expect(() => toFloat32('C64', new Uint8Array(8))).toThrow(/C64 cannot be read as float32/)
  })
})

test('weights under a prefix are named without it', () => {
  const tensor = (name: string): [string, ArchiveTensor] => [
    name,
    { name, dtype: 'F32', shape: [], read: async () => new Uint8Array(4) },
  ]
  const weights = new Map([tensor('model.module.a'), tensor('model.b'), tensor('step')])
  expect([...under(weights, 'model.').keys()]).toEqual(['module.a', 'b'])
})

test('choices that the source leaves open are asked for, all of them by name', () => {
  const heads = { value: 4, about: 'attention heads' }
  expect(asked({ heads })).toEqual({ heads: 4 })
  const missing = (about: string) => ({ value: undefined, about })
  const ask = () => asked({ heads, steps: missing('how many times'), schedule: missing('linear or cosine') })
  expect(ask).toThrow('--set steps=…: how many times\n  --set schedule=…: linear or cosine')
  expect(ask).toThrow(expect.objectContaining({ details: { options: ['steps', 'schedule'] } }))
})
