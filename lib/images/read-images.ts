/** Pictures that were written here, read again to the bit. */
import { readFile } from 'node:fs/promises'
import { DpmError } from '../errors.js'
import { readFailure } from '../files/file-failure.js'
import { loadSharp } from './load-sharp.js'
import { toPlanes } from './planes.js'

/**
 * Reads a picture of exactly this shape as C×H×W into a place among others.
 * @throws DpmError DPM_FILE_MISSING, DPM_FILE_INVALID
 */
export async function readInto(
  path: string,
  [channels, height, width]: readonly [channels: number, height: number, width: number],
  into: Uint8Array,
  offset: number,
): Promise<void> {
  const bytes = await readFile(path).catch((error: unknown) => {
    throw readFailure(path, error)
  })
  const sharp = await loadSharp()
  const { data, info } = await sharp(bytes, { failOn: 'error' })
    .toColourspace(channels === 1 ? 'b-w' : 'srgb')
    .raw()
    .toBuffer({ resolveWithObject: true })
    .catch((error: unknown) => {
      const reason = error instanceof Error ? error.message : String(error)
      throw new DpmError('DPM_FILE_INVALID', `${JSON.stringify(path)} cannot be read as a picture: ${reason}.`, {
        cause: error,
      })
    })
  if (info.channels !== channels || info.height !== height || info.width !== width) {
    throw new DpmError(
      'DPM_FILE_INVALID',
      `${JSON.stringify(path)} is ${info.channels}×${info.height}×${info.width} and should be ${channels}×${height}×${width}. Delete it: it is drawn again.`,
    )
  }
  toPlanes(data, channels, height * width, into, offset)
}
