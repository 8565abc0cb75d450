/**
 * A folder of drawn pictures, a file each, that a later call goes on with: `samples.json` beside them says how they were drawn, and
 * only where a call draws the same way are they kept.
 */
import { readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { DpmError } from '../errors.js'
import { writeAtomically } from '../files/atomic-write.js'
import { eachConcurrently } from '../images/concurrently.js'
import type { Images } from '../images/image-batch.js'
import { type DrawingRecord, differencesOf } from './drawing-record.js'

const recordName = 'samples.json'
const pictureName = /^([0-9]{6,10})\.png$/

export interface SampleFolderOptions {
  /** Numbers of the pictures that are wanted: first … first+count-1. */
  readonly first: number
  readonly count: number
  /** Draw anew what is there. */
  readonly overwrite?: boolean | undefined
}

export class SampleFolder {
  readonly path: string
  /** Numbers of the pictures that are there and need not be drawn. */
  readonly kept: ReadonlySet<number>
  readonly #record: DrawingRecord
  #isRecorded: boolean

  private constructor(path: string, kept: ReadonlySet<number>, record: DrawingRecord, isRecorded: boolean) {
    this.path = path
    this.kept = kept
    this.#record = record
    this.#isRecorded = isRecorded
  }

  /**
   * Looks at what is there. Nothing is written yet.
   * @param path of a folder that is there
   * @throws DpmError DPM_INVALID_OPTION where pictures were drawn in another way, or nobody knows in which.
   */
  static async open(path: string, record: DrawingRecord, options: SampleFolderOptions): Promise<SampleFolder> {
    const { first, count, overwrite = false } = options
    const isWanted = (number: number): boolean => number >= first && number < first + count
    const numbers = (await readdir(path)).flatMap((name) => numberOf(name) ?? [])
    const stored = await readRecord(path)
    const inTheWay = numbers.filter(isWanted)
    if (overwrite) {
      if (stored === undefined && inTheWay.length < numbers.length) {
        throw refusal(
          path,
          `pictures that are not drawn anew, such as ${nameOf(numbers.find((one) => !isWanted(one)) ?? 0)}`,
        )
      }
      for (const number of numbers) await rm(join(path, nameOf(number)), { force: true })
      await rm(join(path, recordName), { force: true })
      return new SampleFolder(path, new Set(), record, false)
    }
    if (stored === undefined || stored === 'unreadable') {
      if (inTheWay.length === 0 && stored === undefined) return new SampleFolder(path, new Set(), record, false)
      throw refusal(
        path,
        stored === undefined
          ? `pictures such as ${nameOf(inTheWay[0] ?? 0)}, and no ${recordName} that says how they were drawn`
          : `a ${recordName} that cannot be read`,
      )
    }
    const differences = differencesOf(stored, record)
    if (differences.length === 0) return new SampleFolder(path, new Set(inTheWay), record, true)
    if (numbers.length === 0) return new SampleFolder(path, new Set(), record, false)
    throw refusal(path, `pictures that were drawn in another way (${differences.slice(0, 4).join('; ')})`)
  }

  /** Writes pictures under their numbers. @throws DpmError DPM_WRITE_FAILED */
  async write(images: Images, numbers: readonly number[]): Promise<void> {
    if (!this.#isRecorded) {
      await writeAtomically(join(this.path, recordName), Buffer.from(`${JSON.stringify(this.#record, null, 2)}\n`))
      this.#isRecorded = true
    }
    await eachConcurrently(numbers.length, async (index) => {
      await writeAtomically(this.pathOf(numbers[index] ?? 0), await images.encode(index))
    })
  }

  /** Numbers of the pictures that are there now, of first … first+count-1. */
  async numbersWithin(first: number, count: number): Promise<number[]> {
    const numbers = (await readdir(this.path)).flatMap((name) => numberOf(name) ?? [])
    return numbers.filter((number) => number >= first && number < first + count)
  }

  pathOf(number: number): string {
    return join(this.path, nameOf(number))
  }
}

/** `000007.png`: names sort as numbers do, up to a million. */
function nameOf(number: number): string {
  return `${String(number).padStart(6, '0')}.png`
}

function numberOf(name: string): number | undefined {
  const digits = pictureName.exec(name)?.[1]
  return digits !== undefined && nameOf(Number(digits)) === name ? Number(digits) : undefined
}

async function readRecord(folder: string): Promise<unknown> {
  let text: string
  try {
    text = await readFile(join(folder, recordName), 'utf8')
  } catch {
    return undefined
  }
  try {
    return JSON.parse(text) as unknown
  } catch {
    return 'unreadable'
  }
}

function refusal(path: string, what: string): DpmError {
  return new DpmError(
    'DPM_INVALID_OPTION',
    `${JSON.stringify(path)} holds ${what}. Choose another folder for \`--out\`, or draw anew with \`--overwrite\`.`,
    { details: { path } },
  )
}
