/** Damaged files of one format, each read to its end or refused with an error of ours: nothing else, and no more bytes than it has. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DpmError } from '../../lib/errors.js'
import type { MutatedFormat } from './mutated-formats.js'
import { mutated } from './mutation.js'

/** Files that are written and read at the same time. */
const lanes = 8

export interface MutantEnds {
  readonly tried: number
  readonly read: number
  readonly refused: number
}

/**
 * Mutations 0 … `mutations` - 1, fewer of a format that is slow to read.
 * @param folder files are written there, each into a folder of its own.
 * @param hangSeconds how long the reading of one may take, while others are read beside it.
 */
export async function tryMutants(
  format: MutatedFormat,
  mutations: number,
  folder: string,
  hangSeconds = 60,
): Promise<MutantEnds> {
  const { name, make, read, mend, ending = '', cost = 1 } = format
  const original = await make()
  const tried = Math.max(lanes, Math.ceil(mutations / cost))
  const ends = { tried, read: 0, refused: 0 }
  const follow = async (lane: number): Promise<void> => {
    const home = join(folder, name.replace(/[^a-z0-9]+/gi, '-'), String(lane))
    mkdirSync(home, { recursive: true })
    const path = join(home, `file${ending}`)
    for (let seed = lane; seed < tried; seed += lanes) {
      const damaged = mutated(original, seed)
      const bytes = mend ? mend(damaged) : damaged
      writeFileSync(path, bytes)
      const begun = performance.now()
      try {
        const taken = await read(path)
        if (taken > bytes.length) throw new Error(`${taken} bytes were made of ${bytes.length}`)
        ends.read++
      } catch (error) {
        requireOurs(error, `Mutation ${seed} of ${name}`)
        ends.refused++
      }
      const seconds = (performance.now() - begun) / 1000
      if (seconds > hangSeconds) throw new Error(`Mutation ${seed} of ${name} took ${seconds} s`)
    }
  }
  await Promise.all(Array.from({ length: lanes }, (_, lane) => follow(lane)))
  return ends
}

/** @throws Error when it is none of ours, or one that says that we are at fault. */
export function requireOurs(error: unknown, what: string): void {
  if (error instanceof DpmError && error.code !== 'DPM_INTERNAL') return
  throw new Error(`${what} ended in another error than one of ours.`, { cause: error })
}
