/** What is imported: a file of weights, or a folder with several and their configuration. */
import { readdir, readFile, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { DpmError } from '../../errors.js'
import { readFailure } from '../../files/file-failure.js'
import { openArchive } from '../archives/open-archive.js'
import type { TensorArchive } from '../archives/tensor-archive.js'

/** Far more than any configuration takes. */
const maximumJsonBytes = 64_000_000

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

  /** A JSON file of the folder, or beside the file; undefined when there is none. @throws DpmError DPM_FILE_INVALID */
  async json(name: string): Promise<unknown> {
    const path = this.isFolder ? this.#pathOf(name) : join(this.path, '..', this.#safe(name))
    try {
      const { size } = await stat(path)
      if (size > maximumJsonBytes) throw new Error(`${size} bytes are too many`)
      return parsePythonJson(await readFile(path, 'utf8'))
    } catch (error) {
      const failure = readFailure(path, error)
      if (failure.code === 'DPM_FILE_MISSING') return undefined
      throw failure
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

/** JSON as Python writes it, which has words for what is no finite number. */
function parsePythonJson(text: string): unknown {
  const words: Readonly<Record<string, string>> = { Infinity: '1e999', '-Infinity': '-1e999', NaN: 'null' }
  const plain = text.replace(/"(?:[^"\\]|\\.)*"|-?Infinity|NaN/g, (token) => words[token] ?? token)
  return JSON.parse(plain) as unknown
}
