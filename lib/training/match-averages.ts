/** Which stored averaged copy is which of a run's now: by what they are, never by their place in the list. */
import type { AveragingSettings } from './averaging.js'

/**
 * @param stored the copies of a checkpoint. @param wanted those of the run that goes on from it.
 * @returns for each wanted one the index of the stored one of the same kind and parameters, the first that is not taken yet;
 *   undefined for one that is new.
 */
export function matchAverages(
  stored: readonly AveragingSettings[],
  wanted: readonly AveragingSettings[],
): readonly (number | undefined)[] {
  const left = stored.map(identityOf)
  const free = new Set(left.keys())
  return wanted.map((one) => {
    const identity = identityOf(one)
    const found = [...free].find((index) => left[index] === identity)
    if (found !== undefined) free.delete(found)
    return found
  })
}

/** Its kind and parameters, in whatever order they were written. */
function identityOf(settings: AveragingSettings): string {
  return JSON.stringify(Object.entries(settings).sort(([a], [b]) => (a < b ? -1 : 1)))
}
