/**
 * What a pickle may make of its bytes. Where a name copies what it is given (a dictionary of a dictionary, a path of its
 * parts, bytes of a text), two bytes of a pickle recall that and copy it again: a megabyte would fill any memory. So all
 * copies of one pickle draw on one budget, which grows with the bytes that have been read.
 */

/** What weights take is below 10: a dictionary of Python 2 is copied out of a list of pairs, each of some ten bytes. */
const bytesPerByte = 32
/** For short pickles. */
const freeBytes = 4_000_000
const mostBytes = 512_000_000

/** About what one entry of a dictionary or a list takes. */
export const entryBytes = 48
/** About what an array of bytes takes beside them. */
export const arrayBytes = 128

export class PickleBudget {
  readonly #read: () => number
  readonly #fault: (reason: string) => Error
  #spent = 0

  /**
   * @param read bytes of the pickle that have been read so far.
   * @param fault the error of a pickle that has spent more than it has.
   */
  constructor(read: () => number, fault: (reason: string) => Error) {
    this.#read = read
    this.#fault = fault
  }

  /** Before a copy is made. @throws what `fault` gives. */
  charge(bytes: number): void {
    this.#spent += bytes
    const read = this.#read()
    const allowed = Math.min(mostBytes, freeBytes + bytesPerByte * read)
    if (this.#spent > allowed) {
      throw this.#fault(`its first ${read} bytes are copied to more than ${Math.floor(allowed)}, over and over`)
    }
  }
}
