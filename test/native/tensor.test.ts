import { describe, expect, test } from 'vitest'
import type { DType } from '../../lib/native/binding.js'
import { call } from '../../lib/native/call.js'
import { loadBinding } from '../../lib/native/load.js'
import { createTensor, holdHandles } from './handles.js'

const held = holdHandles()
const invalid = { code: 'DPM_INVALID_ARGUMENT' }

function bytesOf(array: ArrayBufferView<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength)
}

/** 1, -2.5, the largest or an extreme number, and 0 of each type; half precisions by their bits. */
const contents: Readonly<Record<DType, ArrayBufferView<ArrayBuffer>>> = {
  float32: Float32Array.of(1, -2.5, 3.4028234663852886e38, 0),
  float64: Float64Array.of(1, -2.5, Number.MIN_VALUE, 0),
  bfloat16: Uint16Array.of(0x3f80, 0xc020, 0x7f7f, 0),
  float16: Uint16Array.of(0x3c00, 0xc100, 0x7bff, 0),
  uint8: Uint8Array.of(1, 2, 255, 0),
  int64: BigInt64Array.of(1n, -2n, 2n ** 62n, 0n),
}
const dtypes = Object.keys(contents) as DType[]

describe.each(dtypes)('a tensor of %s', (dtype) => {
  const bytes = bytesOf(contents[dtype])

  test('comes back byte for byte, with its shape', async () => {
    const tensor = held(loadBinding().tensorCreate(bytes, [2, 1, 2], dtype))
    expect(loadBinding().tensorInfo(tensor)).toEqual({ shape: [2, 1, 2], dtype, device: 'cpu' })
    expect(new Uint8Array(await loadBinding().tensorData(tensor))).toEqual(bytes)
    expect(loadBinding().memory().bytes).toBe(bytes.byteLength)
  })

  test('may be empty, or a single number without extents', async () => {
    const binding = loadBinding()
    for (const shape of [[0], [0, 3, 4], [3, 0], [0, 0], [0, 2 ** 40]]) {
      const empty = held(binding.tensorCreate(new Uint8Array(0), shape, dtype))
      expect(binding.tensorInfo(empty).shape).toEqual(shape)
      expect((await binding.tensorData(empty)).byteLength).toBe(0)
    }
    const one = bytes.subarray(0, bytes.length / 4)
    const scalar = held(binding.tensorCreate(one, [], dtype))
    expect(binding.tensorInfo(scalar).shape).toEqual([])
    expect(new Uint8Array(await binding.tensorData(scalar))).toEqual(one)
  })

  test('of a wrong number of bytes is refused, both numbers named', () => {
    const bad = () => loadBinding().tensorCreate(bytes.subarray(1), [4], dtype)
    expect(bad).toThrow(expect.objectContaining(invalid))
    expect(bad).toThrow(`Expected ${bytes.length} bytes for this shape but received ${bytes.length - 1}.`)
  })

  test('converts to every other type: 1 stays 1, and 0 stays 0', async () => {
    const binding = loadBinding()
    const tensor = held(binding.tensorCreate(bytes, [4], dtype))
    for (const other of dtypes) {
      const converted = held(await binding.tensorConvert(tensor, other, 'cpu'))
      expect(binding.tensorInfo(converted)).toEqual({ shape: [4], dtype: other, device: 'cpu' })
      const data = new Uint8Array(await binding.tensorData(converted))
      const size = data.length / 4
      const wanted = bytesOf(contents[other])
      expect(data.subarray(0, size)).toEqual(wanted.subarray(0, size))
      expect(data.subarray(3 * size)).toEqual(wanted.subarray(3 * size))
    }
  })
})

test('conversions round to the nearest, half to even', async () => {
  const binding = loadBinding()
  // bfloat16 has 8 bits: 1 + 2^-8 lies in the middle of 1 and 1 + 2^-7; 1 + 3·2^-8 in the middle of the next two.
  const tensor = createTensor(held, [1 + 2 ** -8, 1 + 3 * 2 ** -8, 1 + 2 ** -8 + 2 ** -20, 1e39 / 4], [4])
  const half = held(await binding.tensorConvert(tensor, 'bfloat16', 'cpu'))
  expect([...new Uint16Array(await binding.tensorData(half))]).toEqual([0x3f80, 0x3f82, 0x3f81, 0x7f3c])
  const float = held(await binding.tensorConvert(half, 'float32', 'cpu'))
  expect([...new Float32Array(await binding.tensorData(float))].slice(0, 3)).toEqual([1, 1 + 2 ** -6, 1 + 2 ** -7])
})

test('a conversion to the same type is a copy with bytes of its own', async () => {
  const tensor = createTensor(held, [1, 2], [2])
  const copy = held(await loadBinding().tensorConvert(tensor, 'float32', 'cpu'))
  expect(loadBinding().memory()).toMatchObject({ tensors: 2, bytes: 16 })
  loadBinding().dispose(tensor)
  expect([...new Float32Array(await loadBinding().tensorData(copy))]).toEqual([1, 2])
})

test('later changes of the JavaScript array do not reach the tensor, nor those of the data', async () => {
  const values = Float32Array.of(1, 2)
  const tensor = held(loadBinding().tensorCreate(bytesOf(values), [2], 'float32'))
  values.fill(9)
  new Float32Array(await loadBinding().tensorData(tensor)).fill(8)
  expect([...new Float32Array(await loadBinding().tensorData(tensor))]).toEqual([1, 2])
})

describe('refused shapes', () => {
  test.each([
    [[-1]],
    [[1.5]],
    [[Number.NaN]],
    [[Number.POSITIVE_INFINITY]],
    [['2']],
    [[2, undefined]],
    [new Array(65).fill(1)],
  ])('%j', (shape) => {
    const create = () => loadBinding().tensorCreate(new Uint8Array(4), shape as number[], 'float32')
    expect(create).toThrow(expect.objectContaining(invalid))
  })
  test('one whose size overflows 64 bits', () => {
    const create = () => loadBinding().tensorCreate(new Uint8Array(0), [2 ** 40, 2 ** 40], 'float32')
    expect(create).toThrow('Expected a shape of fewer than 2^63 bytes.')
  })
})

describe('devices', () => {
  test.each(['tpu', 'cuda:', 'cuda:x', 'cuda:-1', 'CUDA', ''])('"%s" is none', async (device) => {
    const tensor = createTensor(held, [1], [1])
    const convert = loadBinding().tensorConvert(tensor, 'float32', device)
    await expect(convert).rejects.toMatchObject({
      ...invalid,
      message: expect.stringContaining('Expected cpu, cuda or cuda:N for `device`'),
    })
  })
  test('one that is not on this machine is never replaced by another', async () => {
    const tensor = createTensor(held, [1], [1])
    const count = await loadBinding().cudaDeviceCount()
    for (const device of count === 0 ? ['cuda', 'cuda:0', 'cuda:9'] : [`cuda:${count}`, 'cuda:99']) {
      await expect(loadBinding().tensorConvert(tensor, 'float32', device)).rejects.toMatchObject({
        code: 'DPM_DEVICE_UNAVAILABLE',
      })
    }
  })
})

test('memory that no machine has is DPM_OUT_OF_MEMORY, and the next job runs', async () => {
  // 2^49 bytes are more than the address space of a process, so the system cannot promise them either.
  const impossible = call(undefined, (binding) =>
    binding.randomNormal(1, 0, 0, Float64Array.of(0), [1, 2 ** 47], 'cpu'),
  )
  await expect(impossible).rejects.toMatchObject({ code: 'DPM_OUT_OF_MEMORY', name: 'DpmError' })
  const tensor = held(await loadBinding().randomNormal(1, 0, 0, Float64Array.of(0), [1, 8], 'cpu'))
  expect((await loadBinding().tensorData(tensor)).byteLength).toBe(32)
})
