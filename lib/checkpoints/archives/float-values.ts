/** Elements of any type as float32, the type of our networks' parameters. */
import { DpmError } from '../../errors.js'
import { dtypeBytes, type SafetensorsDType } from '../safetensors-header.js'

type Read = (view: DataView, at: number) => number

const readers: { readonly [Type in SafetensorsDType]?: Read } = {
  F64: (view, at) => view.getFloat64(at, true),
  F32: (view, at) => view.getFloat32(at, true),
  F16: (view, at) => halfToNumber(view.getUint16(at, true)),
  F8_E4M3: (view, at) => float8(view.getUint8(at), 3),
  F8_E5M2: (view, at) => float8(view.getUint8(at), 2),
  I64: (view, at) => Number(view.getBigInt64(at, true)),
  I32: (view, at) => view.getInt32(at, true),
  I16: (view, at) => view.getInt16(at, true),
  I8: (view, at) => view.getInt8(at),
  U64: (view, at) => Number(view.getBigUint64(at, true)),
  U32: (view, at) => view.getUint32(at, true),
  U16: (view, at) => view.getUint16(at, true),
  U8: (view, at) => view.getUint8(at),
  BOOL: (view, at) => Number(view.getUint8(at) !== 0),
}

/**
 * @param bytes little-endian; float64 and integers are rounded to the nearest float32.
 * @throws DpmError DPM_FILE_INVALID for a type that has no such reading.
 */
export function toFloat32(dtype: SafetensorsDType, bytes: Uint8Array<ArrayBuffer>): Float32Array<ArrayBuffer> {
  const { buffer, byteOffset, byteLength } = bytes
  const count = byteLength / dtypeBytes[dtype]
  if (dtype === 'F32' && byteOffset % 4 === 0) return new Float32Array(buffer, byteOffset, count)
  if (dtype === 'BF16') return bfloat16ToFloat32(bytes, count)
  const read = readers[dtype]
  if (!read) {
    const known = ['BF16', ...Object.keys(readers)].join(', ')
    throw new DpmError(
      'DPM_FILE_INVALID',
      `Elements of type ${dtype} cannot be read as float32, only those of ${known}.`,
    )
  }
  const view = new DataView(buffer, byteOffset, byteLength)
  const size = dtypeBytes[dtype]
  const values = new Float32Array(count)
  for (let index = 0; index < count; index++) values[index] = read(view, index * size)
  return values
}

/** A bfloat16 is the upper half of a float32. */
function bfloat16ToFloat32(bytes: Uint8Array<ArrayBuffer>, count: number): Float32Array<ArrayBuffer> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const bits = new Uint32Array(count)
  for (let index = 0; index < count; index++) bits[index] = view.getUint16(2 * index, true) << 16
  return new Float32Array(bits.buffer)
}

/** IEEE 754 binary16: 5 bits of exponent with bias 15, 10 bits of fraction. */
function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 0x1f
  const fraction = bits & 0x3ff
  if (exponent === 0) return sign * fraction * 2 ** -24
  if (exponent === 0x1f) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15)
}

/**
 * 8-bit numbers of 3 or 2 bits of fraction (Micikevicius et al. 2022, arXiv 2209.05433): E4M3 has no infinity, and NaN only where all bits
 * are 1; E5M2 is the upper half of a binary16.
 */
function float8(bits: number, fractionBits: 2 | 3): number {
  if (fractionBits === 2) return halfToNumber(bits << 8)
  const sign = bits & 0x80 ? -1 : 1
  const exponent = (bits >> 3) & 0xf
  const fraction = bits & 7
  if ((bits & 0x7f) === 0x7f) return Number.NaN
  return sign * (exponent === 0 ? fraction * 2 ** -9 : (1 + fraction / 8) * 2 ** (exponent - 7))
}
