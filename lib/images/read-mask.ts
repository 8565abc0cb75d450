/**
 * A mask and the picture that it lies on: both of the same proportions, so that one crop fits both. White is drawn, black is kept, grey
 * blends; colours count by their brightness (Pillow's mode L).
 */
import { expected } from '../errors.js'
import type { Images } from './image-batch.js'
import { imageOf, middleOf, notesOf, openPictureFile, type PictureFile, type PictureShape } from './read-picture.js'

export interface MaskedPicture {
  readonly known: Images
  /** H×W from 0, kept, to 1, drawn. */
  readonly mask: Float64Array<ArrayBuffer>
  /** What a person should know, a sentence each. */
  readonly notes: readonly string[]
}

/**
 * @param names of the two options, for errors and notes
 * @throws DpmError DPM_FILE_MISSING, DPM_FILE_INVALID; DPM_INVALID_OPTION for a mask of other proportions, with transparent pixels, or
 *   one that has nothing to draw where the model sees it.
 */
export async function readMasked(
  knownPath: string,
  maskPath: string,
  shape: PictureShape,
  names: { readonly known: string; readonly mask: string } = { known: '--known', mask: '--mask' },
): Promise<MaskedPicture> {
  const known = await openPictureFile(knownPath)
  const file = await openPictureFile(maskPath)
  const refuse = (what: string, received: string, cure: string): never => {
    throw expected(what, names.mask, received, cure, 'DPM_INVALID_OPTION')
  }
  if (known.width * file.height !== file.width * known.height) {
    refuse(
      `a mask of the same sides as the picture of ${names.known}, ${known.width}×${known.height} pixels,`,
      `${maskPath} of ${file.width}×${file.height}`,
      'Draw the mask on the picture itself.',
    )
  }
  if (!file.isOpaque) {
    const cure = 'Save it without transparency: white where to draw, black where to keep.'
    refuse('a mask without transparent pixels', maskPath, cure)
  }
  const whole = await sharesOf(file)
  if (whole.most === 0) refuse('a mask with white, where to draw,', `${maskPath}, which is black everywhere`, '')
  const outside = outsideOf(whole.shares, file, shape)
  const fitted = await imageOf(file, { ...shape, channels: 1 }, 'nearest')
  const mask = Float64Array.from(fitted.data, (byte) => byte / whole.white)
  if (mask.every((share) => share === 0)) {
    const middle = middleOf(file, shape)
    refuse(
      `a mask with white in the middle ${Math.round(middle.width)}×${Math.round(middle.height)} pixels, which the model sees,`,
      maskPath,
      outside > 0
        ? 'All that it draws lies outside. Crop picture and mask around it.'
        : 'What it draws is too small to be left in an image of the model.',
    )
  }
  const notes = [...notesOf(known, shape, names.known), ...maskNotes(mask, whole, outside, names)]
  return { known: await imageOf(known, shape), mask, notes }
}

interface Shares {
  /** Of the whole file, before it is cropped. */
  readonly shares: Uint8Array
  readonly most: number
  /** The value that is white: 1 of a mask of 0 and 1. */
  readonly white: number
  readonly hasColour: boolean
}

async function sharesOf(file: PictureFile): Promise<Shares> {
  const size = { height: file.height, width: file.width }
  const { data: shares } = await imageOf(file, { ...size, channels: 1 }, 'nearest')
  const { data: colours } = await imageOf(file, { ...size, channels: 3 }, 'nearest')
  const pixels = shares.length
  const hasColour = shares.some((_, i) => colours[i] !== colours[pixels + i] || colours[i] !== colours[2 * pixels + i])
  const most = shares.reduce((top, one) => Math.max(top, one), 0)
  return { shares, most, white: most === 1 ? 1 : 255, hasColour }
}

/** Share of what the mask draws that the crop takes away. */
function outsideOf(shares: Uint8Array, { height, width }: PictureFile, shape: PictureShape): number {
  const crop = middleOf({ height, width }, shape)
  let [all, outside] = [0, 0]
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const share = shares[y * width + x] ?? 0
      all += share
      const isInside =
        x + 0.5 > crop.left &&
        x + 0.5 < crop.left + crop.width &&
        y + 0.5 > crop.top &&
        y + 0.5 < crop.top + crop.height
      if (!isInside) outside += share
    }
  }
  return all === 0 ? 0 : outside / all
}

function maskNotes(
  mask: Float64Array,
  { white, hasColour }: Shares,
  outside: number,
  names: { readonly known: string; readonly mask: string },
): string[] {
  const notes: string[] = []
  if (white === 1) notes.push(`${names.mask}: it has no values but 0 and 1, which are taken for black and white.`)
  if (hasColour) notes.push(`${names.mask}: its colours count by their brightness, as grey.`)
  if (outside > 0) {
    const percent = Math.max(1, Math.round(100 * outside))
    notes.push(`${names.mask}: ${percent} % of what it draws lies outside the middle that is taken, and is left out.`)
  }
  if (mask.every((share) => share === 1))
    notes.push(`${names.mask}: it is white everywhere: nothing of ${names.known} is kept.`)
  const between = mask.filter((share) => share > 0 && share < 1)
  if (between.length > 0) {
    const percent = Math.max(1, Math.round((100 * between.length) / mask.length))
    notes.push(`${names.mask}: ${percent} % of it is grey, where what is drawn is blended with what is kept.`)
  }
  return notes
}
