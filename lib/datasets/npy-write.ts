/** An array in NumPy's file format, version 1: what `npy.ts` reads. */

/** The bytes of a .npy file of float64 numbers, row-major. */
export function encodeNpy(values: Float64Array, shape: readonly number[]): Uint8Array {
  const sizes = shape.length === 1 ? `${shape[0]},` : shape.join(', ')
  const text = `{'descr': '<f8', 'fortran_order': False, 'shape': (${sizes}), }`
  // Magic, version and length take 10 bytes; the numbers begin at a multiple of 64.
  const length = Math.ceil((10 + text.length + 1) / 64) * 64 - 10
  const header = Buffer.alloc(10)
  header.write('\x93NUMPY', 0, 'latin1')
  header.writeUInt8(1, 6)
  header.writeUInt16LE(length, 8)
  const numbers = Buffer.alloc(8 * values.length)
  for (const [i, value] of values.entries()) numbers.writeDoubleLE(value, 8 * i)
  return Buffer.concat([header, Buffer.from(`${text.padEnd(length - 1)}\n`, 'latin1'), numbers])
}
