/** What a reader makes of a file: columns of numbers and texts, and what it took them for. */
export interface Cells {
  readonly names: readonly string[]
  readonly length: number
  /** NaN where the cell is no finite number. */
  readonly number: (row: number, column: number) => number
  /** As it is written. */
  readonly text: (row: number, column: number) => string
  /** Where a row is, for messages. */
  readonly place: (row: number) => string
  /** Columns that have no name where others have. */
  readonly unnamed: readonly number[]
  /** The column without a name that only counts the rows, as pandas writes; undefined where there is none. */
  readonly index: number | undefined
  /** What was taken for what, whole sentences. */
  readonly reading: readonly string[]
  /** What was left out, whole sentences. */
  readonly remarks: readonly string[]
}
