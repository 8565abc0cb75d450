/**
 * What the tags of a TIFF say of its samples (TIFF 6.0; BigTIFF). The decoder says neither which of them are alpha nor that
 * black and white are swapped, and its errors do not name what it cannot read.
 */

export interface TiffPage {
  readonly width: number
  readonly height: number
  /** Bits of a sample. */
  readonly bits: number
  /** Samples of a pixel, those beside the colours included. */
  readonly samples: number
  /** 1: unsigned, 2: signed, 3: floating point, 4: not said, 5 and 6: complex. */
  readonly sampleFormat: number
  /** 0: grey, white is 0; 1: grey; 2: RGB; 3: palette; 5: CMYK; 6: YCbCr; 8, 9, 10: Lab; others are rare. */
  readonly photometric: number
}

const tags = { width: 256, height: 257, bits: 258, photometric: 262, samples: 277, sampleFormat: 339 } as const

/** Bytes of a value, by TIFF's number of its type. */
const typeBytes: Readonly<Record<number, number>> = { 1: 1, 3: 2, 4: 4, 16: 8 }
/** More pages than any file has; a chain that is longer goes round in a circle. */
const mostPages = 65_536

/** The pages in their order; undefined where the file is not built as a TIFF is. */
export function tiffPages(bytes: Uint8Array): readonly TiffPage[] | undefined {
  try {
    return [...pagesOf(new TiffReader(bytes))]
  } catch (error) {
    // A place beyond the end of the file.
    if (error instanceof RangeError) return undefined
    throw error
  }
}

function* pagesOf(reader: TiffReader): Generator<TiffPage> {
  const seen = new Set<number>()
  for (let at = reader.first; at !== 0 && !seen.has(at) && seen.size < mostPages; ) {
    seen.add(at)
    const { values, next } = reader.directory(at)
    const value = (tag: keyof typeof tags, otherwise: number): number => values.get(tags[tag]) ?? otherwise
    yield {
      width: value('width', 0),
      height: value('height', 0),
      bits: value('bits', 1),
      samples: value('samples', 1),
      sampleFormat: value('sampleFormat', 1),
      photometric: value('photometric', 1),
    }
    at = next
  }
}

class TiffReader {
  readonly #view: DataView
  readonly #little: boolean
  readonly #isBig: boolean
  /** Where the first directory is. */
  readonly first: number

  constructor(bytes: Uint8Array) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#little = this.#view.getUint8(0) === 0x49
    this.#isBig = this.#number(2, 2) === 43
    this.first = this.#isBig ? this.#number(8, 8) : this.#number(4, 4)
  }

  /** First value of each tag that is a number, and where the next directory is; 0 after the last. */
  directory(at: number): { readonly values: ReadonlyMap<number, number>; readonly next: number } {
    const [countBytes, entryBytes, offsetBytes] = this.#isBig ? [8, 20, 8] : [2, 12, 4]
    const count = this.#number(at, countBytes)
    const end = at + countBytes + count * entryBytes
    const next = this.#number(end, offsetBytes)
    const values = new Map<number, number>()
    for (let entry = at + countBytes; entry < end; entry += entryBytes) {
      const size = typeBytes[this.#number(entry + 2, 2)]
      if (size === undefined) continue
      const length = this.#number(entry + 4, offsetBytes) * size
      const place = entry + 4 + offsetBytes
      values.set(
        this.#number(entry, 2),
        this.#number(length <= offsetBytes ? place : this.#number(place, offsetBytes), size),
      )
    }
    return { values, next }
  }

  #number(at: number, size: number): number {
    if (size === 8) return Number(this.#view.getBigUint64(at, this.#little))
    if (size === 4) return this.#view.getUint32(at, this.#little)
    return size === 2 ? this.#view.getUint16(at, this.#little) : this.#view.getUint8(at)
  }
}
