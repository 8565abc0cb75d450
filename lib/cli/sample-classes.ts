/** The classes that `--classes` names: a list of names or indices, in which a name may itself have commas. */
import { DpmError } from '../errors.js'

/**
 * Names may look like numbers: a name counts first. All classes where nothing is said.
 * @param given what followed the flag, each time that it was given.
 * @returns undefined draws without class
 * @throws DpmError DPM_INVALID_OPTION for a quote without its other half.
 */
export function classesOf(
  known: readonly string[],
  given: string | readonly string[] | undefined,
): (number | string)[] | undefined {
  const texts = typeof given === 'string' ? [given] : given
  if (texts === undefined) return known.length > 0 ? known.map((_, index) => index) : undefined
  if (texts.length === 1 && texts[0] === 'none' && !known.includes('none')) return undefined
  return texts.flatMap((text) => namesIn(text, known))
}

/** `--classes` may be given again, and each adds to the list. */
export function moreClasses(text: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), text]
}

interface Field {
  readonly text: string
  /** Where it begins and ends in the list. */
  readonly from: number
  readonly to: number
  /** In quotes, or with a comma that was escaped: a name as it stands. */
  readonly exact: boolean
}

function namesIn(list: string, known: readonly string[]): (number | string)[] {
  const fields = fieldsOf(list)
  const names: (number | string)[] = []
  for (let at = 0; at < fields.length; ) {
    const field = fields[at] as Field
    // A name that has commas may also stand there as it is: the longest that begins here.
    let end = fields.length
    while (end > at + 1 && !known.includes(list.slice(field.from, fields[end - 1]?.to).trim())) end--
    const joins = end > at + 1 && !fields.slice(at, end).every(({ text }) => known.includes(text))
    names.push(joins ? list.slice(field.from, fields[end - 1]?.to).trim() : classOf(field, known))
    at = joins ? end : at + 1
  }
  return names
}

function classOf({ text, exact }: Field, known: readonly string[]): number | string {
  return !exact && !known.includes(text) && /^[0-9]+$/.test(text) ? Number(text) : text
}

/** Between commas: `"a, b"` in quotes, in which `\"` is a quote, and `a\, b` with the comma escaped. */
function fieldsOf(list: string): Field[] {
  const fields: Field[] = []
  let [text, from, exact, quote] = ['', 0, false, '']
  const end = (to: number): void => {
    fields.push({ text: exact ? text : text.trim(), from, to, exact })
    ;[text, from, exact] = ['', to + 1, false]
  }
  for (let at = 0; at < list.length; at++) {
    const character = list[at] as string
    const next = list[at + 1]
    if (character === '\\' && next !== undefined && '\\,"'.includes(next)) {
      text += next
      exact ||= next === ','
      at++
    } else if (quote !== '' && character === quote) {
      quote = ''
      exact = true
      // What follows a closing quote, up to the comma, is blank.
      while (at + 1 < list.length && /\s/.test(list[at + 1] as string)) at++
    } else if (quote === '' && character === '"' && text.trim() === '') {
      quote = character
      text = ''
    } else if (quote === '' && character === ',') end(at)
    else text += character
  }
  if (quote !== '') {
    throw new DpmError(
      'DPM_INVALID_OPTION',
      `The quote in \`--classes\` ${JSON.stringify(list)} does not end. Names with commas are written as '"tench, Tinca tinca",goldfish'.`,
    )
  }
  end(list.length)
  return fields
}
