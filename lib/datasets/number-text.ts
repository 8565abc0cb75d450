/** Numbers as tables write them, and what else stands where a number should be. */

// No digit can be matched in two ways: a cell of a million digits takes no longer than a million cells.
const withPoint = /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?$/
const withComma = /^[+-]?(?:\d+(?:,\d*)?|,\d+)(?:[eE][+-]?\d+)?$/
const thousands = /^[+-]?[1-9]\d{0,2}(?:,\d{3})+$/
const missing = /^(?:|n\/?a|<na>|#n\/a|nan|null|none|nil|missing|-|--|\?|\.)$/i

/** NaN where the text is no finite decimal number with a point. Blanks around it do not count. */
export function numberOf(text: string): number {
  const trimmed = text.trim()
  if (!withPoint.test(trimmed)) return Number.NaN
  const value = Number(trimmed)
  return Number.isFinite(value) ? value : Number.NaN
}

/** The same with a decimal comma. */
export function numberWithComma(text: string): number {
  const trimmed = text.trim()
  return withComma.test(trimmed) ? numberOf(trimmed.replace(',', '.')) : Number.NaN
}

export function isNumber(text: string, commaToo: boolean): boolean {
  return !Number.isNaN(numberOf(text)) || (commaToo && !Number.isNaN(numberWithComma(text)))
}

/** "1,234", which may be one and a bit, or more than a thousand. */
export function mayHaveThousands(text: string): boolean {
  return thousands.test(text.trim())
}

/** Digits alone: as counts, years and positions are written. */
export function isPlainInteger(text: string): boolean {
  return /^\d+$/.test(text.trim())
}

/** "", "NA", "nan" and other ways to say that there is no number. */
export function isMissing(text: string): boolean {
  return missing.test(text.trim())
}

/** Why a text was not taken for a number; empty where it is just a word. */
export function whyNoNumber(text: string): string {
  const trimmed = text.trim()
  if (!Number.isNaN(numberOf(trimmed))) return 'a number with a point, where `data.decimal` is comma'
  const [, reason = ''] = reasons.find(([pattern]) => pattern.test(trimmed)) ?? []
  return reason
}

const reasons: readonly (readonly [RegExp, string])[] = [
  [/^$/, 'no number'],
  [missing, 'a missing number'],
  [/^[+-]?(?:inf|infinity|∞)$/i, 'not finite'],
  [withPoint, 'beyond what 64 bits hold'],
  [/^[+-]?0[xob][0-9a-f]+$/i, 'not decimal'],
  [thousands, 'a number with a comma: write thousands without one, or say `data.decimal` comma'],
  [withComma, 'a number with a decimal comma: say `data.decimal` comma where all numbers have one'],
  [/^[+-]?\d{1,3}(?:[.,' \u00a0\u202f_]\d{3})+(?:[.,]\d+)?$/, 'a number with signs between its thousands'],
  [/^[\d.,+-]+(?:\t[\d.,+-]+)+$/, 'several cells: say `data.separator` tab'],
  [/^[\d.,+-]+(?:;[\d.,+-]*)+$/, 'several cells: say `data.separator` semicolon'],
  [/^[\d.,+-]+(?:\|[\d.,+-]*)+$/, 'several cells: say `data.separator` pipe'],
  [/^[\d.,+-]+(?: +[\d.,+-]+)+$/, 'several cells: say `data.separator` space'],
]
