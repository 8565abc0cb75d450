/** Which files of a folder are taken as pictures, and which are another program's own. */
import { open } from 'node:fs/promises'
import { extname } from 'node:path'
import { formatBytes, formatOf } from '../images/picture-format.js'
import type { PassedOver } from './data-set.js'

/** Endings of the formats that sharp's prebuilt libvips decodes, in any case of letters. */
export const imageExtensions = [
  '.jpg',
  '.jpeg',
  '.jpe',
  '.jfif',
  '.jif',
  '.pjpeg',
  '.pjp',
  '.png',
  '.apng',
  '.webp',
  '.gif',
  '.avif',
  '.tif',
  '.tiff',
] as const

/** Read only where the option `svg` says so. */
export const svgExtensions = ['.svg', '.svgz'] as const

const known: ReadonlySet<string> = new Set(imageExtensions)
const drawings: ReadonlySet<string> = new Set(svgExtensions)

/** What systems and programs keep beside a person's files; in lower case. */
const foreign: ReadonlySet<string> = new Set([
  '__macosx',
  '__pycache__',
  '@eadir',
  '@recycle',
  '#recycle',
  '#snapshot',
  '$recycle.bin',
  'desktop.ini',
  'ehthumbs.db',
  'icon\r',
  'lost+found',
  'system volume information',
  'thumbs.db',
])

/** Whether a name is hidden (it begins with a dot) or one that a system or program gives to files of its own. */
export function isForeign(name: string): boolean {
  return name.startsWith('.') || foreign.has(name.toLowerCase())
}

export function endingOf(name: string): string {
  return extname(name).toLowerCase()
}

/** Whether a file is taken as a picture: by its ending; without one by its first bytes. */
export async function isPicture(path: string | Buffer, ending: string, svg: boolean): Promise<boolean> {
  if (known.has(ending) || (svg && drawings.has(ending))) return true
  if (ending !== '') return false
  const format = await firstFormat(path).catch(() => undefined)
  return format !== undefined && (format !== 'svg' || svg)
}

async function firstFormat(path: string | Buffer): Promise<ReturnType<typeof formatOf>> {
  const file = await open(path)
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(formatBytes), 0, formatBytes, 0)
    return formatOf(buffer.subarray(0, bytesRead))
  } finally {
    await file.close()
  }
}

/** Counts files by ending. */
export class EndingCounts {
  readonly #counts = new Map<string, { count: number; first: string }>()

  add(ending: string, path: string): void {
    const known = this.#counts.get(ending)
    if (known) known.count += 1
    else this.#counts.set(ending, { count: 1, first: path })
  }

  get total(): number {
    return [...this.#counts.values()].reduce((sum, { count }) => sum + count, 0)
  }

  /** The most frequent first. */
  get list(): readonly PassedOver[] {
    return [...this.#counts]
      .map(([ending, entry]) => ({ ending, ...entry }))
      .sort((a, b) => b.count - a.count || (a.ending < b.ending ? -1 : 1))
  }
}

/** `4 .bmp, 2 .txt, 1 without an ending` */
export function endingsText(counts: readonly PassedOver[], most = 8): string {
  const shown = counts.slice(0, most).map(({ ending, count }) => `${count} ${ending || 'without an ending'}`)
  const rest = counts.slice(most).reduce((sum, { count }) => sum + count, 0)
  return [...shown, ...(rest > 0 ? [`${rest} of other endings`] : [])].join(', ')
}

/** Whether SVG is among what was passed over. */
export function hasDrawings(counts: readonly PassedOver[]): boolean {
  return counts.some(({ ending }) => drawings.has(ending))
}
