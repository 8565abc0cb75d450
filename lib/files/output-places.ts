/**
 * Where a command or a call will write: made, or refused, before its work, so that nobody waits to hear that a folder is missing or
 * that an input would have been replaced. What is written then goes through `writeAtomically`.
 */
import { existsSync } from 'node:fs'
import { lstat, realpath } from 'node:fs/promises'
import { basename, dirname, join, resolve, sep } from 'node:path'
import { DpmError, expected } from '../errors.js'
import { tryFolder, tryWriting, writeAtomically } from './atomic-write.js'
import { makeFolder, removeEmpty } from './make-folder.js'

export interface OutputPlace {
  /** The option that names it, as errors say it: `--out`. */
  readonly name: string
  readonly path: string
  /** A file is replaced, a folder is filled. */
  readonly kind: 'file' | 'folder'
}

/** What is read while the outputs are made. */
export interface InputPlace {
  /** As an error calls it: `the checkpoint`. */
  readonly name: string
  readonly path: string
  /**
   * `run` when absent: a file, or a run folder, which consists of settings, metrics, checkpoints and snapshots. `folder`: any file that is
   * in it. `closed`: whatever lies in it is read, so that nothing new may come to it either.
   */
  readonly kind?: 'run' | 'folder' | 'closed' | undefined
}

/** What a run folder consists of; beside these it may take what is made of it. A test holds it to lib/training/run-places.ts. */
export const runParts: readonly string[] = [
  'config.json',
  'metrics.jsonl',
  'skipped.jsonl',
  'checkpoints',
  'snapshots',
  'tensorboard',
]

export class OutputPlaces implements AsyncDisposable {
  readonly #made: readonly string[]

  private constructor(made: readonly string[]) {
    this.#made = made
  }

  /**
   * Makes the folders of all places and tries that they can be written to.
   * @throws DpmError DPM_INVALID_OPTION where two places are the same, or one would replace what is read; DPM_WRITE_FAILED. Nothing is
   *   left behind then.
   */
  static async open(places: readonly OutputPlace[], inputs: readonly InputPlace[] = []): Promise<OutputPlaces> {
    for (const { name, path } of places) {
      if (typeof path === 'string' && path !== '' && !path.includes('\0')) continue
      throw expected('a path', name, path, '', 'DPM_INVALID_OPTION')
    }
    const found = await Promise.all(places.map(async (place) => ({ ...place, at: await identityOf(place.path) })))
    requireApart(found)
    for (const input of inputs) requireNotRead(found, input, await identityOf(input.path))
    const made: string[] = []
    try {
      for (const { kind, path } of places) {
        made.push(...(await makeFolder(kind === 'folder' ? path : dirname(path))))
        await (kind === 'folder' ? tryFolder(path) : tryWriting(path))
      }
    } catch (error) {
      await removeEmpty(made)
      throw error
    }
    return new OutputPlaces(made)
  }

  /** At the end of the work: folders that were made and that nothing was written to are removed again. */
  async [Symbol.asyncDispose](): Promise<void> {
    await removeEmpty(this.#made)
  }
}

export interface Written {
  /** What was written, in its order. */
  readonly files: readonly string[]
  /** The first failure, of what was not. */
  readonly failure: { readonly error: unknown } | undefined
}

/**
 * Writes several files, each although another fails: what can be kept is.
 * @param files by path: what makes the bytes, or writes the file itself
 */
export async function writeEach(
  files: Readonly<Record<string, () => Promise<Uint8Array | undefined>>>,
): Promise<Written> {
  const written: string[] = []
  let failure: Written['failure']
  for (const [path, make] of Object.entries(files)) {
    try {
      const bytes = await make()
      if (bytes) await writeAtomically(path, bytes)
      written.push(path)
    } catch (error) {
      failure ??= { error }
    }
  }
  return { files: written, failure }
}

interface FoundPlace extends OutputPlace {
  readonly at: string
}

function requireApart(places: readonly FoundPlace[]): void {
  for (const [index, one] of places.entries()) {
    for (const other of places.slice(index + 1)) {
      const isSame = one.at === other.at
      const isBelowFile =
        (one.kind === 'file' && within(other, one.at)) || (other.kind === 'file' && within(one, other.at))
      if (!isSame && !isBelowFile) continue
      throw new DpmError(
        'DPM_INVALID_OPTION',
        `\`${one.name}\` and \`${other.name}\` both name ${JSON.stringify(isSame || within(other, one.at) ? one.path : other.path)}: one would replace the other. Give each a name of its own.`,
      )
    }
  }
}

function requireNotRead(places: readonly FoundPlace[], input: InputPlace, at: string): void {
  for (const place of places) {
    const isPart = partOf[input.kind ?? 'run'](place, at)
    // A folder may be filled further: `--out` of a run's own folder adds to it.
    const isSame = place.at === at && (place.kind === 'file' || input.kind === 'closed')
    if (!isSame && !isPart) continue
    const what =
      isPart || input.kind === 'closed'
        ? `a place apart from the files of ${input.name}`
        : `another file than ${input.name}`
    throw expected(what, place.name, place.path, 'Choose another name.', 'DPM_INVALID_OPTION')
  }
}

const partOf: Readonly<Record<NonNullable<InputPlace['kind']>, (place: FoundPlace, input: string) => boolean>> = {
  run: (place, input) => runParts.some((part) => place.at === join(input, part) || within(place, join(input, part))),
  folder: (place, input) => within(place, input) && place.kind === 'file' && existsSync(place.at),
  closed: (place, input) => within(place, input),
}

const within = ({ at }: FoundPlace, folder: string): boolean => at.startsWith(folder + sep)

/** The path of what is there, links followed; of what is not, as far as there is something. */
async function identityOf(path: string): Promise<string> {
  const whole = resolve(path)
  try {
    return await realpath(whole)
  } catch {
    // A link that leads nowhere is replaced itself.
    const isLink = await lstat(whole).then(
      (entry) => entry.isSymbolicLink(),
      () => false,
    )
    const parent = dirname(whole)
    if (parent === whole || isLink) return whole
    return join(await identityOf(parent), basename(whole))
  }
}
