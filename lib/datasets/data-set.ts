/** What every data set answers; shared code never asks which one it is. */

/** Shape of one image, as the data has it. */
export interface ImageShape {
  readonly channels: number
  readonly height: number
  readonly width: number
}

/** What a read could not deliver, when corrupt files are skipped rather than fatal. */
export interface CorruptExample {
  readonly index: number
  /** The file, or the file and the record in it. */
  readonly place: string
  readonly reason: string
}

export interface DataSet extends ImageShape {
  readonly name: string
  /** Number of examples. */
  readonly length: number
  /** Class names in the order of their indices; empty when the data has no classes. */
  readonly classes: readonly string[]
  /** Examples that were skipped so far because their file is corrupt (only with `corrupt: 'skip'`). */
  readonly corrupt: readonly CorruptExample[]
  /** Class index of an example; -1 when the data has no classes. */
  classOf(index: number): number
  /**
   * Decodes examples into `into`, uint8 C×H×W one after the other, off the JS thread.
   * @throws DpmError DPM_DATA_INVALID naming the file of a corrupt image (with `corrupt: 'error'`).
   */
  read(indices: readonly number[], into: Uint8Array, signal?: AbortSignal): Promise<void>
  close(): Promise<void>
}

/** How far opening (indexing, decoding, unpacking) has come. */
export type OpenProgress = (done: number, total: number) => void
