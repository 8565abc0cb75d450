/** TIFF files with samples of any kind, uncompressed, one strip a page: what no encoder at hand writes. */

export interface PageContent {
  readonly width: number
  readonly height: number
  /** Of each sample of a pixel. */
  readonly bits: readonly number[]
  /** 1: unsigned, 2: signed, 3: floating point, 5 and 6: complex. */
  readonly format: number
  /** 0: grey, white is 0; 1: grey; 2: RGB; 3: palette; 5: CMYK. */
  readonly photometric: number
  /** In the byte order of this machine, which is that of the file: little-endian. */
  readonly data: Uint8Array
  /** What the last sample is, where it is no colour: 0: not said, 1 or 2: alpha. */
  readonly extra?: number
  readonly colours?: readonly number[]
}

const short = 3
const long = 4

export function writeTiff(pages: readonly PageContent[]): Buffer {
  const chunks: Buffer[] = [Buffer.from('II*\0\0\0\0\0', 'latin1')]
  let length = 8
  const append = (bytes: Uint8Array): number => {
    const at = length
    const padded = Buffer.alloc(bytes.length + (bytes.length % 2))
    padded.set(bytes)
    chunks.push(padded)
    length += padded.length
    return at
  }
  let link: { readonly chunk: Buffer; readonly at: number } = { chunk: chunks[0] as Buffer, at: 4 }
  for (const page of pages) {
    const { width, height, bits, format, photometric, data, extra, colours } = page
    const shorts = (values: readonly number[]): number =>
      values.length <= 2
        ? ((values[0] ?? 0) | ((values[1] ?? 0) << 16)) >>> 0
        : append(new Uint8Array(Uint16Array.from(values).buffer))
    const entries: (readonly [tag: number, type: number, count: number, value: number])[] = [
      [256, long, 1, width],
      [257, long, 1, height],
      [258, short, bits.length, shorts(bits)],
      [259, short, 1, 1],
      [262, short, 1, photometric],
      [273, long, 1, append(data)],
      [277, short, 1, bits.length],
      [278, long, 1, height],
      [279, long, 1, data.length],
      [284, short, 1, 1],
    ]
    if (colours) entries.push([320, short, colours.length, shorts(colours)])
    if (extra !== undefined) entries.push([338, short, 1, extra])
    entries.push([339, short, bits.length, shorts(bits.map(() => format))])
    const directory = Buffer.alloc(2 + 12 * entries.length + 4)
    directory.writeUInt16LE(entries.length, 0)
    for (const [index, [tag, type, count, value]] of entries.entries()) {
      const at = 2 + 12 * index
      directory.writeUInt16LE(tag, at)
      directory.writeUInt16LE(type, at + 2)
      directory.writeUInt32LE(count, at + 4)
      directory.writeUInt32LE(value, at + 8)
    }
    link.chunk.writeUInt32LE(append(directory), link.at)
    link = { chunk: chunks.at(-1) as Buffer, at: directory.length - 4 }
  }
  return Buffer.concat(chunks)
}

type Values = Uint8Array | Int8Array | Uint16Array | Int16Array | Uint32Array | Int32Array | Float32Array | Float64Array

/** One page of `width` × (values / width / samples) pixels. */
export function tiffOf(
  values: Values,
  width: number,
  kind: Partial<PageContent> & { readonly samples?: number } = {},
): Buffer {
  const { samples = 1, ...rest } = kind
  const isFloat = values instanceof Float32Array || values instanceof Float64Array
  const isSigned = values instanceof Int8Array || values instanceof Int16Array || values instanceof Int32Array
  return writeTiff([
    {
      width,
      height: values.length / width / samples,
      bits: new Array<number>(samples).fill(8 * values.BYTES_PER_ELEMENT),
      format: isFloat ? 3 : isSigned ? 2 : 1,
      photometric: samples < 3 ? 1 : 2,
      data: new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
      ...rest,
    },
  ])
}
