/** How samples were drawn, all that they depend on: kept beside them, so that a later call knows whether it may go on with them. */
import { createReadStream } from 'node:fs'
import { readFailure } from '../files/file-failure.js'

export interface DrawingRecord {
  readonly about: string
  readonly version: 1
  /** Of every file that they depend on: its name, and the SHA-256 of its content, which alone counts. */
  readonly files: Readonly<Record<string, { readonly name: string; readonly sha256: string }>>
  readonly settings: Readonly<Record<string, unknown>>
}

/**
 * @param files paths by what they are: `model`, `known`, …
 * @param settings what can be kept as JSON; undefined counts as absent
 * @throws DpmError DPM_FILE_MISSING, DPM_FILE_INVALID for a file that cannot be read
 */
export async function recordOf(
  files: Readonly<Record<string, string>>,
  settings: Readonly<Record<string, unknown>>,
): Promise<DrawingRecord> {
  const hashed = Object.entries(files).map(async ([what, path]) => {
    return [what, { name: path, sha256: await sha256Of(path) }] as const
  })
  return {
    about: 'How these samples were drawn. dpm-torch goes on behind them where a call draws in the same way.',
    version: 1,
    files: Object.fromEntries(await Promise.all(hashed)),
    // A seed may be larger than numbers are exact.
    settings: JSON.parse(
      JSON.stringify(settings, (_, one: unknown) => (typeof one === 'bigint' ? `${one}` : one)),
    ) as Record<string, unknown>,
  }
}

/** What is not the same, a phrase each: `seed 0 there, 1 here`. */
export function differencesOf(stored: unknown, { files, settings, version }: DrawingRecord): string[] {
  const there = flat(stored)
  const here = flat({ version, files, settings })
  const names = [...new Set([...there.keys(), ...here.keys()])].filter((name) => isCompared.test(name))
  return names.flatMap((name) => {
    const [one, other] = [there.get(name), here.get(name)]
    if (one === other) return []
    const what = name.replace(/^(settings|files)\./, '')
    if (what.endsWith('.sha256')) return [`another ${what.slice(0, -'.sha256'.length)}`]
    return [`${what} ${one ?? 'absent'} there, ${other ?? 'absent'} here`]
  })
}

const isCompared = /^(version$|settings\.|files\..*\.sha256$)/

/** Numbers and texts by their paths. */
function flat(value: unknown): Map<string, string> {
  const found = new Map<string, string>()
  const open: [path: string, value: unknown][] = [['', value]]
  for (let next = open.pop(); next; next = open.pop()) {
    const [path, one] = next
    if (typeof one !== 'object' || one === null) found.set(path, JSON.stringify(one) ?? 'absent')
    else if (Object.keys(one).length === 0) found.set(path, '{}')
    else for (const [name, inner] of Object.entries(one)) open.push([path === '' ? name : `${path}.${name}`, inner])
  }
  return found
}

async function sha256Of(path: string): Promise<string> {
  const hash = process.getBuiltinModule('crypto').createHash('sha256')
  try {
    for await (const bytes of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(bytes as Uint8Array)
  } catch (error) {
    throw readFailure(path, error)
  }
  return hash.digest('hex')
}
