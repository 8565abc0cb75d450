/** What every data set answers; shared code never asks which one it is. */
import { expected } from '../errors.js'

/** The columns that vectors were made of: a value in a column's own units is mean + deviation · what networks see. */
export interface Columns {
  readonly names: readonly string[]
  readonly means: readonly number[]
  /** Above 0. */
  readonly deviations: readonly number[]
}

/** Shape of one example, as the data has it. */
export interface ImageShape {
  readonly channels: number
  readonly height: number
  readonly width: number
  /** Of vectors, whose elements are the channels of an image of 1×1; absent where examples are pictures. */
  readonly columns?: Columns | undefined
}

/** Examples one after the other: pictures in 8 bits, vectors as networks see them. */
export type ExampleValues = Uint8Array | Float32Array

/** What a read could not deliver, when such files are skipped rather than fatal. */
export interface CorruptExample {
  readonly index: number
  /** The file, or the file and the record in it. */
  readonly place: string
  /** Why, without a full stop. */
  readonly reason: string
}

/** Files that opening met and that are no examples, all of one ending. */
export interface PassedOver {
  /** In lower case, with its dot; empty for names without one. */
  readonly ending: string
  readonly count: number
  /** Path of the first of them. */
  readonly first: string
}

export interface DataSet extends ImageShape {
  readonly name: string
  /** Number of examples. */
  readonly length: number
  /** Class names in the order of their indices; empty when the data has no classes. */
  readonly classes: readonly string[]
  /**
   * Examples that were skipped so far because their file cannot be used (only with `corrupt: 'skip'`): each once, in the
   * order of their indices. It grows while examples are read; a reader that tells of new ones keeps the indices it told.
   */
  readonly corrupt: readonly CorruptExample[]
  /** What the files were taken for: which line has names, what separates. Whole sentences. Absent: there was no choice. */
  readonly reading?: readonly string[] | undefined
  /**
   * What a person should know of the data and no error says: files that were passed over, frames that are not read.
   * Whole sentences; what only reading finds is appended while examples are read. Absent: nothing.
   */
  readonly remarks?: readonly string[] | undefined
  /** Files that are no examples, counted by their ending, the most frequent first. Absent: none. */
  readonly passedOver?: readonly PassedOver[] | undefined
  /** Class index of an example; -1 when the data has no classes. */
  classOf(index: number): number
  /**
   * Decodes examples into `into`, C×H×W one after the other, off the JS thread: uint8, or float32 where there are `columns`.
   * @throws DpmError DPM_DATA_INVALID naming the file of a corrupt image (with `corrupt: 'error'`).
   */
  read(indices: readonly number[], into: ExampleValues, signal?: AbortSignal): Promise<void>
  close(): Promise<void>
}

/** How far opening (indexing, decoding, unpacking) has come. */
export type OpenProgress = (done: number, total: number) => void

/** @throws DpmError DPM_INVALID_ARGUMENT for what is no data set. */
export function requireDataSet(value: unknown, name = 'dataSet'): void {
  const { read, length, classes } = Object(value) as Partial<DataSet>
  if (typeof read === 'function' && typeof length === 'number' && Array.isArray(classes)) return
  throw expected('a data set, such as `openDataSet` opens,', name, value)
}
