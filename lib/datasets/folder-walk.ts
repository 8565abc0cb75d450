/** The pictures below a folder, in an order that depends on their names alone. */
import { readdir, realpath, stat } from 'node:fs/promises'
import { extname, join } from 'node:path'
import { throwIfAborted } from '../errors.js'

/** Endings of the formats that sharp's prebuilt libvips decodes. */
export const imageExtensions = [
  '.jpg',
  '.jpeg',
  '.jpe',
  '.png',
  '.webp',
  '.gif',
  '.avif',
  '.tif',
  '.tiff',
  '.svg',
] as const

const known: ReadonlySet<string> = new Set(imageExtensions)

/**
 * Relative paths of all pictures, sorted by UTF-16 code units, folder by folder. Hidden files and folders are passed
 * over. Symbolic links are followed; a link back to a folder that it is in is not, so the walk ends.
 * @param recursive look into sub-folders, however deep.
 */
export async function findImages(root: string, recursive: boolean, signal?: AbortSignal): Promise<string[]> {
  const found: string[] = []
  const walk = async (folder: string, ancestors: readonly string[]): Promise<void> => {
    throwIfAborted(signal, 'Opening image-folder')
    const path = join(root, folder)
    const real = await realpath(path)
    if (ancestors.includes(real)) return
    const entries = await readdir(path, { withFileTypes: true })
    entries.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
    for (const entry of entries) {
      if (entry.name.startsWith('.')) continue
      const child = folder === '' ? entry.name : join(folder, entry.name)
      // Links, and all entries of file systems that do not tell the type, are looked at; a million plain files are not.
      const kind = entry.isFile() || entry.isDirectory() ? entry : await stat(join(root, child)).catch(() => undefined)
      if (kind?.isDirectory()) {
        if (recursive) await walk(child, [...ancestors, real])
      } else if (known.has(extname(entry.name).toLowerCase()) && (kind === undefined || kind.isFile())) {
        // A dangling link is listed too: reading it names the file that is missing.
        found.push(child)
      }
    }
  }
  await walk('', [])
  return found
}
