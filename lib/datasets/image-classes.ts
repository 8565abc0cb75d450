/** Which class each picture of a folder is of. */
import { DpmError } from '../errors.js'
import type { RawPath } from '../files/raw-path.js'
import { type FirstFolder, type FoundPictures, within } from './folder-walk.js'
import type { ImageFolderSettings } from './image-folder-options.js'
import { readTables } from './image-tables.js'
import { endingsText } from './picture-files.js'

export interface PictureClasses {
  /** In the order of their indices. */
  readonly classes: readonly string[]
  /** Class of each picture; null where there are no classes. */
  readonly labels: Int32Array | null
  readonly remarks: readonly string[]
}

type Rule = (settings: ImageFolderSettings, found: FoundPictures) => PictureClasses | Promise<PictureClasses>

const none: PictureClasses = { classes: [], labels: null, remarks: [] }

/** By the option `classes`. */
export const classRules: Readonly<Record<ImageFolderSettings['classes'], Rule>> = {
  folders: classesOfFolders,
  metadata: readTables,
  none: () => none,
}

/** Classes are the first folders of the paths; paths without one have none, and a mixture is a mistake to be told of. */
function classesOfFolders(settings: ImageFolderSettings, found: FoundPictures): PictureClasses {
  const { folder: root, emptyClasses } = settings
  const { pictures, folders, tables } = found
  const firsts = pictures.map(({ text }) => (text.includes('/') ? text.slice(0, text.indexOf('/')) : null))
  const remarks = tables.map(
    ({ text }) =>
      `${text} lies beside the pictures and is not read; its column of labels becomes the classes with \`classes\` "metadata".`,
  )
  if (firsts.every((first) => first === null)) return { ...none, remarks }
  const loose = firsts.indexOf(null)
  if (loose >= 0) {
    throw new DpmError(
      'DPM_DATA_INVALID',
      `Expected all pictures in sub-folders, one for each class, but ${pathText(root, pictures[loose])} is beside them. Move it, or set \`classes\` to "none".`,
    )
  }
  const empty = folders.filter((folder) => folder.pictures === 0)
  if (empty.length > 0 && emptyClasses === 'error') throw emptyError(root, empty)
  if (empty.length > 0) {
    const become = emptyClasses === 'keep' ? 'are classes without an example' : 'are no classes'
    remarks.push(`Folders without a picture ${become}: ${listed(empty)}.`)
  }
  const kept = emptyClasses === 'keep' ? folders : folders.filter((folder) => folder.pictures > 0)
  const classes = kept.map(({ name }) => name).sort()
  const indices = new Map(classes.map((name, index) => [name, index]))
  return { classes, labels: Int32Array.from(firsts, (first) => indices.get(String(first)) ?? -1), remarks }
}

function emptyError(root: string, empty: readonly FirstFolder[]): DpmError {
  const [what, they] = empty.length === 1 ? ['1 sub-folder', 'it'] : [`${empty.length} sub-folders`, 'them']
  return new DpmError(
    'DPM_DATA_INVALID',
    `Expected a picture in each sub-folder of ${root}, which are the classes, but ${what} have none that is read: ${listed(empty)}. ` +
      `Without ${they} the classes behind would have other numbers. Put pictures there (BMP, PPM, HEIC and others as PNG or JPEG), remove ${they}, ` +
      'or set `emptyClasses` to "keep" (classes without an example) or "drop" (no classes).',
    { details: { folders: empty.map(({ name }) => name) } },
  )
}

function listed(folders: readonly FirstFolder[], most = 10): string {
  const shown = folders
    .slice(0, most)
    .map(({ name, passedOver }) => `${name} (${passedOver.length === 0 ? 'empty' : endingsText(passedOver, 3)})`)
  const rest = folders.length - shown.length
  return [...shown, ...(rest > 0 ? [`${rest} more`] : [])].join(', ')
}

function pathText(root: string, picture: RawPath | undefined): string {
  return picture ? within(root, picture).text : root
}
