/** The classes that a flag names. */

/**
 * Names may look like numbers: a name counts first. All classes where nothing is said.
 * @returns undefined draws without class
 */
export function classesOf(known: readonly string[], text: string | undefined): (number | string)[] | undefined {
  if (text === undefined) return known.length > 0 ? known.map((_, index) => index) : undefined
  if (text === 'none' && !known.includes('none')) return undefined
  return text.split(',').map((one) => {
    const name = one.trim()
    return !known.includes(name) && /^[0-9]+$/.test(name) ? Number(name) : name
  })
}
