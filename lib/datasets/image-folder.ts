/** A folder of pictures of any size and format; its sub-folders, if any, are the classes. */
import { readFile, stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { DpmError, throwIfAborted } from '../errors.js'
import { readFailure, systemCode } from '../files/file-failure.js'
import type { RawPath } from '../files/raw-path.js'
import { eachConcurrently } from '../images/concurrently.js'
import { openPicture, type PictureFacts } from '../images/decode.js'
import { decodingBytes, MemoryBudget } from '../images/memory-budget.js'
import { toPlanes } from '../images/planes.js'
import { UnfitPicture } from '../images/unfit-picture.js'
import type { CorruptExample, DataSet, PassedOver } from './data-set.js'
import { defineDataSet } from './define-data-set.js'
import { findImages, within } from './folder-walk.js'
import { classRules, type PictureClasses } from './image-classes.js'
import { type ImageFolderSettings, imageFolderSchema } from './image-folder-options.js'
import { FactRemarks, nothingFound, walkRemarks } from './image-folder-remarks.js'
import { type FrameIndex, findFrames, firstFrames } from './image-frames.js'
import { checkIndex, checkRead, closed, exampleSize } from './memory-data-set.js'
import { missingOr } from './missing.js'

export const imageFolder = defineDataSet({
  name: 'image-folder',
  options: imageFolderSchema,
  // With classes, as ImageNet has them.
  published: ({ channels, size, classes }) => ({
    channels,
    height: size,
    width: size,
    classes: classes === 'none' ? 0 : 1000,
  }),
  async open(settings, { signal, progress }) {
    const root = settings.folder
    const info = await stat(root).catch(missingOr(root, 'Correct `folder`, or put the pictures there.'))
    if (!info.isDirectory()) throw new DpmError('DPM_DATA_INVALID', `Expected a folder but ${resolve(root)} is a file.`)
    const found = await findImages(root, settings, signal)
    if (found.pictures.length === 0) throw nothingFound(settings, found)
    const classes = await classRules[settings.classes](settings, found)
    const paths = found.pictures.map((path) => within(root, path))
    const frames = settings.frames === 'all' ? await findFrames(paths, signal, progress) : firstFrames(paths.length)
    progress?.(paths.length, paths.length)
    const remarks = [...walkRemarks(settings, found), ...classes.remarks]
    return new ImageFolder(settings, { paths, frames, classes, remarks, passedOver: found.passedOver })
  },
})

interface Contents {
  readonly paths: readonly RawPath[]
  readonly frames: FrameIndex
  readonly classes: PictureClasses
  readonly remarks: readonly string[]
  readonly passedOver: readonly PassedOver[]
}

/** Pictures are decoded whenever they are read: on libuv's threads, a few at a time. */
class ImageFolder implements DataSet {
  readonly name = 'image-folder'
  readonly channels: number
  readonly height: number
  readonly width: number
  readonly length: number
  readonly classes: readonly string[]
  readonly passedOver: readonly PassedOver[]
  readonly #settings: ImageFolderSettings
  readonly #contents: Contents
  /** By index, so that a picture met again is neither decoded nor counted again. */
  readonly #corrupt = new Map<number, CorruptExample>()
  readonly #facts: FactRemarks
  readonly #budget = new MemoryBudget(decodingBytes)
  #closed = false

  constructor(settings: ImageFolderSettings, contents: Contents) {
    this.channels = settings.channels
    this.height = settings.size
    this.width = settings.size
    this.length = contents.frames.count
    this.classes = contents.classes.classes
    this.passedOver = contents.passedOver
    this.#settings = settings
    this.#contents = contents
    this.#facts = new FactRemarks(settings)
  }

  /** In the order of their indices, which does not depend on the order of reading. */
  get corrupt(): readonly CorruptExample[] {
    return [...this.#corrupt.values()].sort((a, b) => a.index - b.index)
  }

  get remarks(): readonly string[] {
    return [...this.#contents.remarks, ...this.#facts.list]
  }

  classOf(index: number): number {
    checkIndex(this, index)
    const { classes, frames } = this.#contents
    return classes.labels?.[frames.pictureOf(index)] ?? -1
  }

  async read(indices: readonly number[], into: Uint8Array, signal?: AbortSignal): Promise<void> {
    if (this.#closed) throw closed(this.name)
    checkRead(this, indices, into)
    const size = exampleSize(this)
    const readOne = async (slot: number): Promise<void> => {
      const pixels = await this.#decodeGood(indices[slot] ?? 0, signal)
      toPlanes(pixels, this.channels, this.height * this.width, into, slot * size)
    }
    await eachConcurrently(indices.length, readOne, signal)
  }

  async close(): Promise<void> {
    this.#closed = true
  }

  /** The example, or where it is corrupt the next good one of its class: always the same one, so a run can be repeated. */
  async #decodeGood(index: number, signal: AbortSignal | undefined): Promise<Uint8Array> {
    for (let step = 0; step < this.length; step++) {
      throwIfAborted(signal, 'Reading the data')
      const candidate = (index + step) % this.length
      if (this.classOf(candidate) !== this.classOf(index) || this.#corrupt.has(candidate)) continue
      try {
        return await this.#decode(candidate, signal)
      } catch (error) {
        if (!(error instanceof DpmError) || error.code !== 'DPM_DATA_INVALID' || this.#settings.corrupt === 'error')
          throw error
        if (error.details['isLasting'] === false) throw error
        this.#corrupt.set(candidate, {
          index: candidate,
          place: this.#placeOf(candidate),
          reason: skippedReason(error.cause),
        })
      }
    }
    const name = this.classes[this.classOf(index)]
    const first = this.corrupt.find((example) => this.classOf(example.index) === this.classOf(index))
    throw new DpmError(
      'DPM_DATA_INVALID',
      `No picture${name === undefined ? '' : ` of the class ${name}`} in ${resolve(this.#settings.folder)} can be used; the first of them is ${first?.place}: ${first?.reason}.`,
      { details: { corrupt: this.corrupt.slice(0, 20) } },
    )
  }

  async #decode(index: number, signal: AbortSignal | undefined): Promise<Uint8Array> {
    const path = this.#pathOf(index)
    try {
      // Read here, not by libvips, which would remember the contents of a file by its name.
      const bytes = await readFile(path.bytes, { signal })
      const page = this.#contents.frames.frameOf(index)
      const picture = await openPicture(bytes, { ...this.#settings, page })
      const decoding = this.#budget.run(picture.costBytes, async () => {
        throwIfAborted(signal, 'Reading the data')
        return await picture.decode()
      })
      const { pixels, facts } = await orAborted(decoding, signal)
      this.#note(index, facts)
      return pixels
    } catch (error) {
      throwIfAborted(signal, 'Reading the data')
      throw this.#failure(index, path.text, error)
    }
  }

  #failure(index: number, path: string, error: unknown): DpmError {
    // A picture can be bad by itself; too many open files, say, is not its fault and must not be skipped over.
    const code = systemCode(error)
    if (error instanceof DpmError) return error
    if (code !== '' && !['ENOENT', 'EACCES', 'EIO', 'ELOOP', 'EISDIR'].includes(code)) return readFailure(path, error)
    const isUnfit = error instanceof UnfitPicture
    const isLasting = !isUnfit || error.isLasting
    const [what, cure] = isUnfit ? ['use', error.cure] : ['decode', 'Remove or mend it.']
    return new DpmError(
      'DPM_DATA_INVALID',
      `Cannot ${what} the picture ${this.#placeOf(index)}: ${reasonOf(error)}. ${cure}${isLasting ? ' Or set `corrupt` to "skip".' : ''}`,
      {
        cause: error,
        details: {
          path,
          index,
          isLasting,
          cure: isLasting ? { 'data.corrupt': 'skip' } : { 'data.maxSeconds': 10 * this.#settings.maxSeconds },
        },
      },
    )
  }

  #note(index: number, facts: PictureFacts): void {
    const { frames } = this.#contents
    const hasMore = facts.hasMore && frames.framesOf(frames.pictureOf(index)) === 1
    this.#facts.add(this.#pathOf(index).text, { ...facts, hasMore })
  }

  #placeOf(index: number): string {
    const frame = this.#contents.frames.frameOf(index)
    return frame === 0 ? this.#pathOf(index).text : `${this.#pathOf(index).text}, frame ${frame}`
  }

  #pathOf(index: number): RawPath {
    return this.#contents.paths[this.#contents.frames.pictureOf(index)] ?? { text: '', bytes: '' }
  }
}

/**
 * What the work gives, or the signal's error as soon as it fires. A decoder cannot be stopped: it goes on by itself, keeps its
 * share of memory until its end, and what it gives is dropped.
 */
async function orAborted<Result>(work: Promise<Result>, signal: AbortSignal | undefined): Promise<Result> {
  if (!signal) return await work
  let stop = (): void => undefined
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason)
  })
  if (signal.aborted) stop()
  signal.addEventListener('abort', stop, { once: true })
  try {
    return await Promise.race([work, aborted])
  } finally {
    signal.removeEventListener('abort', stop)
    aborted.catch(() => undefined)
    work.catch(() => undefined)
  }
}

/** Without line ends, of which sharp has some, and without a full stop. */
function reasonOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error)
  const text = message.replace(/\s+/g, ' ').trim()
  return (text.length > 300 ? `${text.slice(0, 297)}...` : text).replace(/[.:]$/, '')
}

/** For the list of what was skipped: what helps belongs to it, since no error says it. */
function skippedReason(error: unknown): string {
  const reason = reasonOf(error)
  return error instanceof UnfitPicture ? `${reason}. ${error.cure.replace(/\.$/, '')}` : reason
}
