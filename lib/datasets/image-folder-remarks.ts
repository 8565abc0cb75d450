/** What a person should know of a folder of pictures: what was passed over, and what was made of some pictures. */
import { resolve } from 'node:path'
import { DpmError } from '../errors.js'
import type { PictureFacts } from '../images/decode.js'
import type { FoundPictures } from './folder-walk.js'
import type { ImageFolderSettings } from './image-folder-options.js'
import { endingsText, hasDrawings, imageExtensions } from './picture-files.js'

/** Of files that are no examples. */
export function walkRemarks(settings: ImageFolderSettings, found: FoundPictures): string[] {
  const { passedOver, foreign, folders } = found
  const remarks: string[] = []
  const total = passedOver.reduce((sum, { count }) => sum + count, 0)
  if (total > 0) {
    remarks.push(
      `${counted(total, 'file was', 'files were')} passed over as no picture that is read: ${endingsText(passedOver)}. The first is ${passedOver[0]?.first}.${cureOf(found)}`,
    )
  }
  if (foreign.length > 0) {
    const shown = foreign.slice(0, 5).join(', ')
    remarks.push(
      `Hidden files and those of other programs were not looked at: ${foreign.length > 5 ? `${foreign.length}, such as ${shown}` : shown}.`,
    )
  }
  const bare = folders.filter(({ pictures }) => pictures === 0)
  if (bare.length > 0 && settings.classes !== 'folders') {
    remarks.push(
      `No picture is in ${bare
        .slice(0, 10)
        .map(({ name }) => name)
        .join(', ')}${bare.length > 10 ? ', …' : ''}.`,
    )
  }
  return remarks
}

function cureOf({ passedOver }: FoundPictures): string {
  return hasDrawings(passedOver) ? ' SVG is read with `svg` set to true.' : ''
}

/** The error of a folder without a picture. */
export function nothingFound(settings: ImageFolderSettings, found: FoundPictures): DpmError {
  const folder = resolve(settings.folder)
  const { passedOver, foreign } = found
  const others = passedOver.length === 0 ? '' : ` There are others: ${endingsText(passedOver)}.${cureOf(found)}`
  const hidden = foreign.length === 0 ? '' : ` Not looked at: ${foreign.slice(0, 5).join(', ')}.`
  return new DpmError(
    'DPM_DATA_INVALID',
    `There are no pictures in ${folder}${settings.recursive ? ' or below it' : ''}. Looked for files that end in ${imageExtensions.join(', ')}.${others}${hidden}`,
    { details: { folder, passedOver } },
  )
}

type Fact = keyof PictureFacts
const facts: readonly Fact[] = ['hasMore', 'madeGrey', 'isCut']

/** Of what was made of pictures, known once they are read: each told once, with the first picture that it was met in. */
export class FactRemarks {
  readonly #settings: ImageFolderSettings
  readonly #told = new Map<Fact, string>()

  constructor(settings: ImageFolderSettings) {
    this.#settings = settings
  }

  add(path: string, found: PictureFacts): void {
    for (const fact of facts)
      if (found[fact] && !this.#told.has(fact)) this.#told.set(fact, sentences[fact](path, this.#settings))
  }

  /** In the order in which they were met: later ones are behind earlier ones. */
  get list(): readonly string[] {
    return [...this.#told.values()]
  }
}

const sentences: Readonly<Record<Fact, (path: string, settings: ImageFolderSettings) => string>> = {
  hasMore: (path, { frames }) =>
    `Of files with more than one frame or page the first is read (${frames === 'first' ? '`frames` "all" reads each' : 'of an animated PNG no other can be'}). One of them is ${path}.`,
  madeGrey: (path, { grey }) =>
    `Colour is made grey by ${grey === 'luma' ? "luma, as Pillow's mode L" : 'luminance in linear light (`grey` "luma" is Pillow\'s mode L)'}. One such picture is ${path}.`,
  isCut: (path, { range }) =>
    `Values beyond the \`range\` ${JSON.stringify(range)} become black or white. One such picture is ${path}.`,
}

function counted(count: number, one: string, many: string): string {
  return `${count.toLocaleString('en-US')} ${count === 1 ? one : many}`
}
