/** What a file's first bytes say it is; its name may say something else. */
import { UnfitPicture } from './unfit-picture.js'

export const pictureFormats = ['jpeg', 'png', 'gif', 'webp', 'tiff', 'avif', 'svg'] as const
export type PictureFormat = (typeof pictureFormats)[number]

/** Bytes that are enough to tell. */
export const formatBytes = 1024

type Tell = (head: Buffer) => boolean

const begins =
  (text: string, at = 0): Tell =>
  (head) =>
    head.toString('latin1', at, at + text.length) === text

const either =
  (...tells: readonly Tell[]): Tell =>
  (head) =>
    tells.some((tell) => tell(head))

/** Brands of ISO media files (ISO/IEC 23008-12): the major one, and the compatible ones behind it. */
const hasBrand = (pattern: RegExp): Tell => {
  const isMedia = begins('ftyp', 4)
  return (head) => isMedia(head) && pattern.test(head.toString('latin1', 8, Math.min(head.readUInt32BE(0), 64)))
}

const textOf = (head: Buffer): string =>
  head
    .toString('latin1')
    .replace(/^\xef\xbb\xbf/, '')
    .trimStart()

const readable: Readonly<Record<PictureFormat, Tell>> = {
  jpeg: begins('\xff\xd8\xff'),
  png: begins('\x89PNG\r\n\x1a\n'),
  gif: either(begins('GIF87a'), begins('GIF89a')),
  webp: (head) => begins('RIFF')(head) && begins('WEBP', 8)(head),
  tiff: either(begins('II*\0'), begins('MM\0*'), begins('II+\0'), begins('MM\0+')),
  avif: hasBrand(/avi[fs]/),
  // Compressed SVG is a gzip stream.
  svg: either(begins('\x1f\x8b'), (head) => /^<(\?xml|!--|!doctype\s+svg|svg)/i.test(textOf(head))),
}

/** What else is met under a picture's name. */
const others: readonly (readonly [string, Tell])[] = [
  ['a BMP picture', begins('BM')],
  ['a HEIC picture', hasBrand(/hei[cxms]|hev[cx]|mif1|msf1/)],
  ['a JPEG XL picture', either(begins('\xff\x0a'), begins('JXL ', 4))],
  ['a JPEG 2000 picture', either(begins('jP  ', 4), begins('\xff\x4f\xff\x51'))],
  ['a Photoshop document', begins('8BPS')],
  ['a Windows icon', begins('\0\0\x01\0')],
  ['a PDF document', begins('%PDF')],
  ['a PPM picture', (head) => /^P[1-7fF]\s/.test(head.toString('latin1', 0, 3))],
  ['an OpenEXR picture', begins('\x76\x2f\x31\x01')],
  ['a Radiance picture', begins('#?')],
  ['a NumPy array', begins('\x93NUMPY')],
  ['a zip archive', begins('PK\x03\x04')],
  ['a web page', (head) => /^<(!doctype html|html|head|body)/i.test(textOf(head))],
  ['a Git LFS pointer', begins('version https://git-lfs')],
  ['a video', hasBrand(/./)],
]

/** Of a file's first bytes ({@link formatBytes} of them); undefined where it is no picture that is read. */
export function formatOf(bytes: Uint8Array): PictureFormat | undefined {
  const head = headOf(bytes)
  return pictureFormats.find((format) => readable[format](head))
}

/** @throws UnfitPicture saying what the file is instead. */
export function requireFormat(bytes: Uint8Array): PictureFormat {
  const format = formatOf(bytes)
  if (format !== undefined) return format
  if (bytes.length === 0) throw new UnfitPicture('the file is empty', 'Fetch it again, or remove it.')
  const head = headOf(bytes)
  const [what] = others.find(([, tell]) => tell(head)) ?? []
  if (what === 'a Git LFS pointer') {
    throw new UnfitPicture('it is a Git LFS pointer, not the picture itself', 'Run `git lfs pull` in its repository.')
  }
  const first = head
    .subarray(0, 8)
    .toString('hex')
    .replace(/..(?=.)/g, '$& ')
  throw new UnfitPicture(
    what === undefined ? `it is no picture that is read: its first bytes are ${first}` : `it is ${what}`,
    'Convert it to PNG or JPEG, or remove it.',
  )
}

function headOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, formatBytes))
}
