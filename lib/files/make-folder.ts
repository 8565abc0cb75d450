/** A folder to write into, and those above it. */
import { existsSync } from 'node:fs'
import { mkdir, rmdir, stat } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { writeFailure } from './file-failure.js'

/**
 * Makes the folder where it is not there yet. Not `mkdir` with `recursive`: where a file system answers ENOENT below a folder
 * that exists, as /proc does, it spins for ever.
 * @returns the folders that were not there, the outermost first.
 * @throws DpmError DPM_WRITE_FAILED naming the folder and the reason; what was made on the way to it is removed again.
 */
export async function makeFolder(path: string): Promise<string[]> {
  const made: string[] = []
  try {
    await make(resolve(path), made)
  } catch (error) {
    await removeEmpty(made)
    throw writeFailure(path, error)
  }
  return made
}

/** Removes folders that `makeFolder` made, as far as nothing is in them. */
export async function removeEmpty(made: readonly string[]): Promise<void> {
  for (const folder of made.toReversed()) await rmdir(folder).catch(() => undefined)
}

async function make(folder: string, made: string[]): Promise<void> {
  const found = await stat(folder).catch(() => undefined)
  if (found?.isDirectory()) return
  if (found) throw Object.assign(new Error(`${folder} is a file`), { code: 'ENOTDIR', syscall: 'mkdir' })
  if (dirname(folder) !== folder) await make(dirname(folder), made)
  try {
    await mkdir(folder)
    made.push(folder)
  } catch (error) {
    // Another process may have made it just now.
    if (!existsSync(folder)) throw error
  }
}
