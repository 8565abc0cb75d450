/** What is imported: a file of weights, or a folder with several and their configuration. */
import { readdir, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { DpmError } from '../../errors.js'
import { readFailure } from '../../files/file-failure.js'
import { parseJson } from '../../files/parse-json.js'
import { readSmallFile } from '../../files/regular-file.js'
import { openArchive } from '../archives/open-archive.js'
import type { TensorArchive } from '../archives/tensor-archive.js'

/** Far more than any configuration takes, and any index of a network's tensors. */
const maximumJsonBytes = 16_000_000

export class ImportSource implements AsyncDisposable {
  readonly path: string
  readonly isFolder: boolean
  /** Names of the files and folders in it; of a file its own name. */
  readonly names: readonly string[]
  readonly #archives = new Map<string, Promise<TensorArchive>>()

  private constructor(path: string, isFolder: boolean, names: readonly string[]) {
    this.path = path
    this.isFolder = isFolder
    this.names = names
  }

  /** @throws DpmError DPM_FILE_MISSING, DPM_FILE_INVALID */
  static async open(path: string): Promise<ImportSource> {
    try {
      const isFolder = (await stat(path)).isDirectory()
      return new ImportSource(path, isFolder, isFolder ? await readdir(path) : [basename(path)])
    } catch (error) {
      throw readFailure(path, error, 'file or folder')
    }
  }

  /**
   * The weights of the file, or of a file in the folder (`unet/model.bin`); opened once, closed with the source.
   * @throws DpmError DPM_FILE_MISSING, DPM_FILE_INVALID
   */
  archive(name?: string): Promise<TensorArchive> {
    const path = this.#pathOf(name)
    const known = this.#archives.get(path)
    if (known) return known
    const opened = openArchive(path)
    this.#archives.set(path, opened)
    return opened
  }

  /** Names of the files in a folder of the folder (`unet/`), or of its own; of none where it is not there. */
  async filesIn(place: string): Promise<readonly string[]> {
    if (place === '') return this.names
    const path = this.#pathOf(place)
    return readdir(path).catch((error: unknown) => {
      const failure = readFailure(path, error, 'folder')
      if (failure.code === 'DPM_FILE_MISSING') return []
      throw failure
    })
  }

  /** A JSON file of the folder, or beside the file; undefined when there is none. @throws DpmError DPM_FILE_INVALID */
  async json(name: string): Promise<unknown> {
    const path = this.isFolder ? this.#pathOf(name) : join(dirname(this.path), this.#safe(name))
    try {
      const text = decoded(await readSmallFile(path, maximumJsonBytes))
      return parseJson(text, { name: JSON.stringify(path), words: pythonWords, maximumLength: maximumJsonBytes })
    } catch (error) {
      if (error instanceof DpmError && error.code === 'DPM_FILE_MISSING') return undefined
      throw error
    }
  }

  async close(): Promise<void> {
    const opened = await Promise.allSettled(this.#archives.values())
    for (const one of opened) if (one.status === 'fulfilled') await one.value.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #pathOf(name: string | undefined): string {
    return name === undefined ? this.path : join(this.path, this.#safe(name))
  }

  /** Names may come from the source itself, as those of an index of shards do. */
  #safe(name: string): string {
    if (!/^\/|\0|\\/.test(name) && !name.split('/').includes('..')) return name
    throw new DpmError(
      'DPM_FILE_INVALID',
      `${JSON.stringify(this.path)} names a file outside of its folder: ${JSON.stringify(name)}.`,
      { details: { path: this.path, name } },
    )
  }
}

/** What JSON of Python has beside JSON: its words for what is no finite number. */
const pythonWords = { NaN: null, Infinity: Number.POSITIVE_INFINITY, '-Infinity': Number.NEGATIVE_INFINITY }

/** UTF-8, or UTF-16 where a byte order mark says so, as editors and shells of Windows write. */
function decoded(bytes: Buffer): string {
  const mark = bytes.toString('latin1', 0, 2)
  if (mark === '\xff\xfe') return bytes.toString('utf16le', 2)
  if (mark === '\xfe\xff')
    return Buffer.from(bytes.subarray(2, bytes.length & ~1))
      .swap16()
      .toString('utf16le')
  return bytes.toString('utf8')
}
