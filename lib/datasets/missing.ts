/** The two ways in which a data file fails before its contents are looked at: it is not there, or it may not be read. */
import { resolve } from 'node:path'
import { DpmError } from '../errors.js'
import { readFailure, systemCode } from '../files/file-failure.js'

/**
 * For `.catch()` on opening a file of a data set.
 * @param cure what to do when the file is not there.
 */
export function missingOr(path: string, cure = 'Put it there, or correct the path.'): (error: unknown) => never {
  return (error) => {
    if (['ENOENT', 'ENOTDIR'].includes(systemCode(error))) {
      throw new DpmError('DPM_DATA_MISSING', `There is no ${resolve(path)}. ${cure}`, {
        cause: error,
        details: { path },
      })
    }
    throw readFailure(path, error)
  }
}
