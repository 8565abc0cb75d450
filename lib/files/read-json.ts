/** JSON files from elsewhere, of a size that is known before they are read. */
import { readFileSync, type Stats, statSync } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import { DpmError } from '../errors.js'
import { readFailure } from './file-failure.js'
import { type JsonSource, parseJson } from './parse-json.js'

export interface JsonFileSource extends Omit<JsonSource, 'name'> {
  /** What the file is, e.g. `recipe`. */
  readonly what: string
}

/** @throws DpmError DPM_FILE_MISSING, DPM_FILE_INVALID naming line and column, or the source's code for what is no JSON. */
export async function readJson(path: string, source: JsonFileSource): Promise<unknown> {
  try {
    requireReadable(path, source, await stat(path))
    return parseJson(await readFile(path, 'utf8'), sourceOf(path, source))
  } catch (error) {
    throw error instanceof DpmError ? error : readFailure(path, error, source.what)
  }
}

/** The same at once, for files of a few lines. */
export function readJsonSync(path: string, source: JsonFileSource): unknown {
  try {
    requireReadable(path, source, statSync(path))
    return parseJson(readFileSync(path, 'utf8'), sourceOf(path, source))
  } catch (error) {
    throw error instanceof DpmError ? error : readFailure(path, error, source.what)
  }
}

function sourceOf(path: string, { what, ...source }: JsonFileSource): JsonSource {
  return { ...source, name: `The ${what} ${JSON.stringify(path)}` }
}

/** A device such as /dev/zero has no end. */
function requireReadable(path: string, { what, maximumLength = 8_000_000, code }: JsonFileSource, found: Stats): void {
  // What is a folder is told of by reading it.
  if (found.isDirectory() || (found.isFile() && found.size <= 4 * maximumLength)) return
  const reason = found.isFile() ? `has ${found.size} bytes, too many for one` : 'is no file, but a device or a pipe'
  throw new DpmError(code ?? 'DPM_FILE_INVALID', `The ${what} ${JSON.stringify(path)} ${reason}.`, {
    details: { path },
  })
}
