/** Where `dpm-torch sample` writes: known before anything is loaded or drawn, so that a wrong flag costs no time. */
import { access } from 'node:fs/promises'
import { extname, join } from 'node:path'
import type { ImageShape } from '../datasets/data-set.js'
import { DpmError, expected } from '../errors.js'
import { endingOf, isNamedAsFile } from '../files/name-endings.js'
import type { InputPlace, OutputPlace } from '../files/output-places.js'
import { tableEndings } from '../generation/vectors.js'
import { pictureEndings } from '../images/encode.js'

export interface PlaceFlags {
  readonly out?: string
  readonly grid?: boolean
  readonly files?: boolean
  readonly gif?: string
  readonly image?: string
  readonly known?: string
  readonly mask?: string
  readonly lowResolution?: string
  readonly weaker?: string
  readonly classifier?: string
}

export interface SamplePlaces {
  /** All in one picture. */
  readonly grid: string | undefined
  /** A file for each. */
  readonly folder: string | undefined
  /** Rows of a model of vectors. */
  readonly table: string | undefined
  readonly gif: string | undefined
}

/** @throws DpmError DPM_INVALID_OPTION for flags that do not fit the model, or each other. */
export async function placesOf(path: string, flags: PlaceFlags, image: ImageShape): Promise<SamplePlaces> {
  const { gif, out } = flags
  if (gif !== undefined && extname(gif).toLowerCase() !== '.gif') {
    throw expected('a name that ends in .gif', '--gif', gif, '', 'DPM_INVALID_OPTION')
  }
  if (out === '') throw expected('a path', '--out', out, '', 'DPM_INVALID_OPTION')
  requireKnownEnding(out, image)
  const base = out ?? (await defaultPlace(path))
  return { gif, ...(image.columns ? placesOfVectors : placesOfPictures)(base, flags) }
}

/** The places as they are made before the work. */
export function outputsOf({ grid, folder, table, gif }: SamplePlaces): OutputPlace[] {
  const places = [
    ['--out', folder, 'folder'],
    ['--out', grid, 'file'],
    ['--out', table, 'file'],
    ['--gif', gif, 'file'],
  ] as const
  return places.flatMap(([name, path, kind]) => (path === undefined ? [] : [{ name, path, kind }]))
}

/** What is read, and so must not be written over. */
export function inputsOf(path: string, flags: PlaceFlags): InputPlace[] {
  const { image, known, mask, lowResolution, weaker, classifier } = flags
  const named = { image, known, mask, 'low-resolution': lowResolution, weaker, classifier }
  const files = Object.entries(named).flatMap(([flag, one]) =>
    one === undefined ? [] : [{ name: `that of --${flag}`, path: one }],
  )
  return [{ name: 'the model', path }, ...files]
}

function placesOfPictures(base: string, flags: PlaceFlags): Omit<SamplePlaces, 'gif'> {
  const { out } = flags
  if (out !== undefined && pictureEndings.includes(endingOf(out))) {
    if (!flags.files) return { grid: out, folder: undefined, table: undefined }
    throw new DpmError('DPM_INVALID_OPTION', `--files needs a folder for --out, and "${out}" is the name of a picture.`)
  }
  const wantsFiles = flags.files === true || (out !== undefined && !flags.grid)
  const wantsGrid = flags.grid === true || !wantsFiles
  const grid = out === undefined ? `${base}.png` : join(base, 'grid.png')
  return { grid: wantsGrid ? grid : undefined, folder: wantsFiles ? base : undefined, table: undefined }
}

function placesOfVectors(base: string, flags: PlaceFlags): Omit<SamplePlaces, 'gif'> {
  const { out } = flags
  for (const name of ['image', 'known', 'lowResolution', 'files'] as const) {
    if (flags[name] === undefined) continue
    const flag = name.replace(/[A-Z]/, (letter) => `-${letter.toLowerCase()}`)
    throw new DpmError('DPM_INVALID_OPTION', `--${flag} is about pictures, and the model draws vectors. Leave it out.`)
  }
  if (out === undefined) return { grid: `${base}.png`, table: `${base}.csv`, folder: undefined }
  if (tableEndings.includes(endingOf(out))) return { grid: undefined, table: out, folder: undefined }
  if (pictureEndings.includes(endingOf(out))) return { grid: out, table: undefined, folder: undefined }
  return { grid: join(out, 'samples.png'), table: join(out, 'samples.csv'), folder: undefined }
}

/** A folder may have any name but that of a file. */
function requireKnownEnding(out: string | undefined, { columns }: ImageShape): void {
  if (out === undefined || !isNamedAsFile(out)) return
  const ending = endingOf(out)
  if (pictureEndings.includes(ending) || (columns && tableEndings.includes(ending))) return
  if (tableEndings.includes(ending)) {
    throw new DpmError(
      'DPM_INVALID_OPTION',
      `"${out}" is the name of a table, and the model draws pictures. Give a picture (.png, .jpg, .webp) or a folder for --out.`,
    )
  }
  const choices = columns
    ? `a table (${tableEndings.join(', ')}), a picture (${pictureEndings.join(', ')}) or a folder`
    : `a picture (${pictureEndings.join(', ')}) or a folder`
  const cure =
    ending === '.gif' ? 'An animation is what --gif writes.' : 'For a folder of that name end it with a slash.'
  throw expected(choices, '--out', out, cure, 'DPM_INVALID_OPTION')
}

/** `<run>/samples/sample-0001` with the first number that is free, or `samples` here when a file was named. */
async function defaultPlace(path: string): Promise<string> {
  if (!(await exists(join(path, 'config.json')))) return 'samples'
  for (let number = 1; ; number++) {
    const base = join(path, 'samples', `sample-${String(number).padStart(4, '0')}`)
    const taken = (await exists(`${base}.png`)) || (await exists(base))
    if (!taken) return base
  }
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}
