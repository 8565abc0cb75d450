/**
 * Pictures whose samples are not plain 8 bits: which of their values is black and which is white. Files do not say it of
 * floating-point and signed samples, nor that only 12 of 16 bits are used.
 */
import type { PictureHeader } from './picture-header.js'
import type { Samples } from './samples.js'
import { UnfitPicture, written } from './unfit-picture.js'

/** The values that are black and white; or by which rule they are found. */
export type SampleRange = 'auto' | 'type' | readonly [black: number, white: number]

export const sampleRangeText =
  'which values are black and white in pictures of more than 8 bits. auto: 0 to 65535 of 16 bits, 0 to 1 in floating ' +
  'point; others are refused, and so are 16 bits with nothing above 4095 (12 bits?). type: all that the type holds. ' +
  'Two numbers, such as [0, 4095]: these; values beyond them become black or white'

/** How a file holds its samples. */
export interface SampleType {
  readonly name: string
  /** The least and the largest value that the type holds; of floating point what is usual. */
  readonly least: number
  readonly most: number
  /** Whether `auto` takes least and most as black and white. */
  readonly isUsual: boolean
  /** Whether the decoder leaves white at 0 where a file says so: it swaps unsigned 8 and 16 bits alone. */
  readonly isSwapped: boolean
}

const integers = (bits: number, isSigned: boolean, isUsual: boolean): SampleType => ({
  name: `${isSigned ? 'signed ' : ''}integers of ${bits} bits`,
  least: isSigned ? -(2 ** (bits - 1)) : 0,
  most: 2 ** (isSigned ? bits - 1 : bits) - 1,
  isUsual,
  isSwapped: isSigned || bits > 16,
})
const floats = (bits: number): SampleType => ({
  name: `floating point of ${bits} bits`,
  least: 0,
  most: 1,
  isUsual: true,
  isSwapped: true,
})

/** By TIFF's number of the format and the bits; 8 bits and fewer, unsigned, are plain. */
const sampleTypes: Readonly<Record<string, SampleType>> = {
  '1/16': integers(16, false, true),
  '1/32': integers(32, false, false),
  '2/8': integers(8, true, false),
  '2/16': integers(16, true, false),
  '2/32': integers(32, true, false),
  '3/16': floats(16),
  '3/32': floats(32),
}

const formatNames: Readonly<Record<number, string>> = {
  2: 'signed integers',
  3: 'floating point',
  5: 'complex integers',
  6: 'complex numbers',
}
/** By TIFF's number: what is not grey, RGB, a palette, CMYK, YCbCr or Lab. */
const rareColours: Readonly<Record<number, string>> = { 32803: 'a camera sensor', 32844: 'LogL', 32845: 'LogLuv' }
const deviceColours: Readonly<Record<number, string>> = { 3: 'a palette', 5: 'CMYK', 6: 'YCbCr' }
const labColours: ReadonlySet<number> = new Set([8, 9, 10])
const cure = 'Save it with 8 or 16 bits a sample, as grey or RGB.'

/**
 * How a picture's samples are to be read; undefined where they are plain, or their colours are for the decoder alone.
 * @throws UnfitPicture for samples that the decoder cannot read, or would read as something else.
 */
export function sampleTypeOf({ bits, tiff }: PictureHeader): SampleType | undefined {
  if (!tiff) return bits === 16 ? sampleTypes['1/16'] : undefined
  const { photometric, samples } = tiff
  const rare = rareColours[photometric]
  if (rare !== undefined) throw new UnfitPicture(`its values are those of ${rare}`, cure)
  if (labColours.has(photometric)) return undefined
  const format = tiff.sampleFormat === 4 ? 1 : tiff.sampleFormat
  const isPlain = format === 1 && [1, 2, 4, 8].includes(bits)
  const type = sampleTypes[`${format}/${bits}`]
  if (!isPlain && !type) {
    throw new UnfitPicture(`its samples are ${formatNames[format] ?? 'integers'} of ${bits} bits`, cure)
  }
  const isGrey = photometric === 0 || photometric === 1
  const most = isGrey ? 2 : 4
  if ((isGrey || photometric === 2) && samples > most) {
    throw new UnfitPicture(
      `it has ${samples} samples a pixel, where ${isGrey ? 'grey' : 'RGB'} has ${most} with alpha`,
      cure,
    )
  }
  const device = deviceColours[photometric]
  if (device === undefined || isPlain) return type
  if (format !== 1 || bits !== 16) throw new UnfitPicture(`its samples are ${type?.name}, in ${device}`, cure)
  return undefined
}

/**
 * The values of black and white of one picture.
 * @throws UnfitPicture where `auto` cannot tell them, or a value is no number.
 */
export function rangeOf(samples: Samples, type: SampleType, range: SampleRange): readonly [number, number] {
  if (range === 'auto' && type.most === 65_535 && samples.values instanceof Uint16Array) {
    requireSixteenBits(samples)
    return [type.least, type.most]
  }
  const [least, most] = endsOf(samples)
  if (typeof range !== 'string') return range
  const ends = `its samples are ${type.name}, from ${written(least)} to ${written(most)}`
  // Integers of 32 bits have come through floating point of 32.
  const isWithin = least >= Math.fround(type.least) && most <= Math.fround(type.most)
  const isBlack = least === 0 && most === 0
  if (isWithin && (type.isUsual || range === 'type' || isBlack)) return [type.least, type.most]
  const [black, white] = proposed(least, most)
  throw new UnfitPicture(
    `${ends}, and nothing says which value is black and which is white`,
    `Say it with \`range\`, such as [${black}, ${white}], or save it with 8 or 16 bits.`,
  )
}

/** What an unsigned picture with values up to these has most likely been made with. */
const usualEnds = [1, 255, 1023, 4095, 65_535]

function proposed(least: number, most: number): readonly [number, number] {
  const white = usualEnds.find((end) => most <= end && most > end / 16) ?? Math.ceil(most)
  if (least >= 0) return [0, white > 0 ? white : 1]
  return least >= -1 && most <= 1 ? [-1, 1] : [Math.floor(least), Math.max(Math.ceil(most), Math.floor(least) + 1)]
}

const twelveBits = 4095

function requireSixteenBits({ values, channels, hasAlpha }: Samples): void {
  const colours = hasAlpha ? channels - 1 : channels
  let most = 0
  for (let i = 0; i < values.length; i++) {
    const value = values[i] ?? 0
    if (value <= most || (hasAlpha && i % channels === colours)) continue
    if (value > twelveBits) return
    most = value
  }
  if (most === 0) return
  const white = usualEnds.find((end) => most <= end && end > 1) ?? twelveBits
  throw new UnfitPicture(
    `its samples are integers of 16 bits but none is above ${written(most)} of 65,535, which is nearly black`,
    `If fewer bits are used say so with \`range\`, such as [0, ${white}]; if it is as dark as that, with "type".`,
  )
}

function endsOf({ values, channels, hasAlpha }: Samples): readonly [number, number] {
  const colours = hasAlpha ? channels - 1 : channels
  let [least, most] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]
  for (let i = 0; i < values.length; i++) {
    if (hasAlpha && i % channels === colours) continue
    const value = values[i] ?? 0
    if (!Number.isFinite(value)) {
      throw new UnfitPicture(`a value of it is ${value}`, 'Give such pixels a number first.')
    }
    if (value < least) least = value
    if (value > most) most = value
  }
  return [least, most]
}

/** Values in 16 bits, and whether some were beyond black or white. */
export interface ScaledSamples {
  readonly values: Uint16Array<ArrayBuffer>
  readonly isCut: boolean
}

/** Black to white as 0 to 65535, alpha as its type has it: written over the samples, which are large. */
export function toSixteenBits(
  { values, channels, hasAlpha }: Samples,
  type: SampleType,
  [black, white]: readonly [number, number],
  isInverted: boolean,
): ScaledSamples {
  if (values instanceof Uint16Array && black === 0 && white === 65_535 && !isInverted) return { values, isCut: false }
  const scaled = new Uint16Array(values.buffer, values.byteOffset, values.length)
  const colours = hasAlpha ? channels - 1 : channels
  const [scale, alphaScale] = [65_535 / (white - black), 65_535 / type.most]
  let isCut = false
  for (let i = 0; i < values.length; i++) {
    const value = values[i] ?? 0
    const isAlpha = hasAlpha && i % channels === colours
    const level = Math.round(isAlpha ? value * alphaScale : (value - black) * scale)
    const limited = Math.min(65_535, Math.max(0, level))
    if (limited !== level && !isAlpha) isCut = true
    scaled[i] = isInverted && !isAlpha ? 65_535 - limited : limited
  }
  return { values: scaled, isCut }
}
