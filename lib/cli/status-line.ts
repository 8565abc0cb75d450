/**
 * How far the work is: on a terminal one line that is written over; elsewhere a plain line every ten seconds, the first
 * after two, so that what is quick says nothing.
 */
import { printable, printableLines } from '../show.js'

const plainMilliseconds = 10_000
const firstPlainMilliseconds = 2_000
/** A terminal is written to this often at most; training may make hundreds of steps a second. */
const rewriteMilliseconds = 100

export class StatusLine {
  readonly #stream: NodeJS.WriteStream
  readonly #clock: () => number
  #shownAt: number
  #isShown = false

  constructor(stream: NodeJS.WriteStream = process.stderr, clock: () => number = () => performance.now()) {
    this.#stream = stream
    this.#clock = clock
    this.#shownAt = stream.isTTY ? Number.NEGATIVE_INFINITY : clock() + firstPlainMilliseconds - plainMilliseconds
  }

  /** Columns that a line may have. */
  get width(): number {
    return this.#stream.isTTY ? (this.#stream.columns || 80) - 1 : Number.POSITIVE_INFINITY
  }

  /**
   * Shows where the work is, unless that was shown a moment ago.
   * @param line made only when it is shown; `width` is what it may fill.
   */
  show(line: (width: number) => string): void {
    const now = this.#clock()
    if (now - this.#shownAt < (this.#stream.isTTY ? rewriteMilliseconds : plainMilliseconds)) return
    this.#shownAt = now
    const text = printable(line(this.width))
    this.#stream.write(this.#stream.isTTY ? `\r\x1b[2K${text.slice(0, this.width)}` : `${text}\n`)
    this.#isShown = this.#stream.isTTY === true
  }

  /** A line that stays. */
  print(text: string): void {
    this.clear()
    this.#stream.write(`${printableLines(text)}\n`)
  }

  /** Takes the line that is written over from the terminal. */
  clear(): void {
    if (!this.#isShown) return
    this.#stream.write('\r\x1b[2K')
    this.#isShown = false
    this.#shownAt = Number.NEGATIVE_INFINITY
  }
}
