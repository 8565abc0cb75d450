/** The pictures below a folder, in an order that depends on their names alone, and what else is there. */
import { readdir, realpath, stat } from 'node:fs/promises'
import { DpmError, throwIfAborted } from '../errors.js'
import { readFailure } from '../files/file-failure.js'
import { joinRaw, type RawPath, rawName } from '../files/raw-path.js'
import type { PassedOver } from './data-set.js'
import { EndingCounts, endingOf, isForeign, isPicture } from './picture-files.js'

/** A folder beside other folders: what a class may be. */
export interface FirstFolder {
  readonly name: string
  /** Pictures in it, however deep. */
  readonly pictures: number
  readonly passedOver: readonly PassedOver[]
}

export interface FoundPictures {
  /** Relative to the root, sorted by UTF-16 code units, folder by folder. */
  readonly pictures: readonly RawPath[]
  /** Sub-folders of the root, sorted as the pictures are; empty where they are not looked into. */
  readonly folders: readonly FirstFolder[]
  /** Files that are no pictures. */
  readonly passedOver: readonly PassedOver[]
  /** Hidden files and folders, and those of other programs, which were not looked at. */
  readonly foreign: readonly string[]
  /** Tables beside pictures that say something of each. */
  readonly tables: readonly RawPath[]
}

export interface WalkSettings {
  /** Look into sub-folders, however deep. */
  readonly recursive: boolean
  /** Take SVG as pictures. */
  readonly svg: boolean
}

const tableNames: ReadonlySet<string> = new Set(['metadata.csv', 'metadata.jsonl', 'metadata.parquet'])
const top: RawPath = { text: '', bytes: '' }

/**
 * Looks through a folder. Symbolic links are followed; a link back to a folder that it is in is not, so the walk ends.
 * @throws DpmError naming the folder that cannot be read.
 */
export async function findImages(root: string, settings: WalkSettings, signal?: AbortSignal): Promise<FoundPictures> {
  const pictures: RawPath[] = []
  const folders: FirstFolder[] = []
  const foreign: string[] = []
  const tables: RawPath[] = []
  const passedOver = new EndingCounts()
  const walk = async (folder: RawPath, ancestors: readonly string[], own: EndingCounts | undefined): Promise<void> => {
    throwIfAborted(signal, 'Opening image-folder')
    const { text: place, bytes: path } = folder === top ? { text: root, bytes: root } : within(root, folder)
    const { real, names } = await list(path, place)
    if (ancestors.includes(real)) return
    const pass = (ending: string, child: RawPath): void => {
      passedOver.add(ending, child.text)
      own?.add(ending, child.text)
    }
    for (const { name, isFile, isFolder } of names) {
      const child = joinRaw(folder, name)
      if (isForeign(name.text)) {
        foreign.push(child.text)
        continue
      }
      const childPath = within(root, child).bytes
      // Links, and all entries of file systems that do not tell the type, are looked at; a million plain files are not.
      const kind = isFile || isFolder ? undefined : await stat(childPath).catch(() => null)
      const ending = endingOf(name.text)
      if (isFolder || kind?.isDirectory()) {
        if (settings.recursive) await enter(folder, child, [...ancestors, real], own)
      } else if (kind && !kind.isFile()) {
        pass('pipe or device', child)
      } else if (tableNames.has(name.text)) {
        tables.push(child)
      } else if (await isPicture(childPath, ending, settings.svg)) {
        // A dangling link is listed too: reading it names the file that is missing.
        pictures.push(child)
      } else pass(ending, child)
    }
  }
  const enter = async (
    parent: RawPath,
    child: RawPath,
    ancestors: readonly string[],
    own: EndingCounts | undefined,
  ): Promise<void> => {
    if (parent !== top) return await walk(child, ancestors, own)
    const before = pictures.length
    const counts = new EndingCounts()
    await walk(child, ancestors, counts)
    folders.push({ name: child.text, pictures: pictures.length - before, passedOver: counts.list })
  }
  await walk(top, [], undefined)
  return { pictures, folders, passedOver: passedOver.list, foreign, tables }
}

/** A path below the root. */
export function within(root: string, path: RawPath): RawPath {
  const base = root.endsWith('/') ? root.slice(0, -1) : root
  return joinRaw({ text: base, bytes: base === '' ? '/' : base }, path)
}

interface Entry {
  readonly name: RawPath
  readonly isFile: boolean
  readonly isFolder: boolean
}

async function list(
  path: string | Buffer,
  place: string,
): Promise<{ readonly real: string; readonly names: readonly Entry[] }> {
  try {
    const real = (await realpath(path, { encoding: 'buffer' })).toString('latin1')
    const entries = await readdir(path, { withFileTypes: true, encoding: 'buffer' })
    const names = entries.map((entry) => ({
      name: rawName(entry.name),
      isFile: entry.isFile(),
      isFolder: entry.isDirectory(),
    }))
    names.sort((a, b) => (a.name.text < b.name.text ? -1 : a.name.text > b.name.text ? 1 : 0))
    return { real, names }
  } catch (error) {
    throw error instanceof DpmError ? error : readFailure(place, error, 'folder')
  }
}
