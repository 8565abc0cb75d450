/** Room for numbers whose count a file or a caller says. */
import { totalmem } from 'node:os'
import { DpmError } from '../errors.js'

interface NumberArray<T> {
  new (length: number): T
  readonly BYTES_PER_ELEMENT: number
}

/** A container may have less than its machine; 0 says that it has no limit. */
const machineBytes = Math.min(process.constrainedMemory?.() || totalmem(), totalmem())

/**
 * Zeros, as many as asked.
 * @param what for the message: "the images of a.idx"
 * @throws DpmError DPM_OUT_OF_MEMORY when they are more than this machine, or a JavaScript array, can hold.
 */
export function allocate<T>(array: NumberArray<T>, length: number, what: string): T {
  const requestedBytes = length * array.BYTES_PER_ELEMENT
  try {
    if (requestedBytes <= machineBytes) return new array(length)
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
  }
  throw new DpmError(
    'DPM_OUT_OF_MEMORY',
    `There is no room for ${what}: ${(requestedBytes / 2 ** 30).toPrecision(3)} GiB, and this machine has ${(machineBytes / 2 ** 30).toPrecision(3)} GiB.`,
    { details: { requestedBytes, machineBytes } },
  )
}
