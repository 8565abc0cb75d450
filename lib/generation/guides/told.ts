/** Guides that are told more than the run knows of its samples: their classes, and their numbers among others. */
import type { Guide } from '../program-run.js'

/** The guide, told the classes of the samples that it is asked about. */
export function toldClasses(guide: Guide, classes: Int32Array | null): Guide {
  if (!classes) return guide
  return (x, level) => guide(x, { ...level, classes: level.places.map((place) => classes[place] ?? 0) })
}

/** A guide that is told another number of each sample than its place in the run. */
export function toldOf(guide: Guide, numberOf: (place: number) => number): Guide {
  return (x, level) => guide(x, { ...level, places: level.places.map(numberOf) })
}
