/** `--set a.b=c`: options changed one at a time, by their dotted paths, before the schema sees them. */
import { DpmError, expected } from '../errors.js'
import { parseJson } from '../files/parse-json.js'
import { noteWritten } from './written.js'

export interface Assignment {
  readonly path: readonly string[]
  /** Undefined takes the option out, so that its default holds again. */
  readonly value: unknown
  /** Numbers, `true`, `false` and `null` in the value as they were written: the schema may want text there. */
  readonly literals?: readonly Literal[]
}

interface Literal {
  /** Within the value. */
  readonly path: readonly (string | number)[]
  readonly text: string
}

type Options = Readonly<Record<string, unknown>>

/**
 * Reads `a.b=c`. The value is JSON where it can be read so (`3`, `true`, `[1,2]`, `{"kind":"ddim"}`, `"7"`), else a
 * string as it stands; where the option is text, so are digits (`folder=2024`). With nothing after the `=` the option is
 * taken out.
 * @throws DpmError DPM_INVALID_OPTION
 */
export function parseAssignment(text: string): Assignment {
  const equals = text.indexOf('=')
  const path = (equals < 0 ? text : text.slice(0, equals)).trim().split('.')
  if (equals < 0 || path.some((name) => name === '')) {
    throw expected('an option and its value, such as training.batch=32,', '--set', text, '', 'DPM_INVALID_OPTION')
  }
  return { path, ...parseValue(text.slice(equals + 1)) }
}

function parseValue(text: string): Pick<Assignment, 'value' | 'literals'> {
  if (text === '') return { value: undefined }
  const literals: Literal[] = []
  try {
    const onLiteral = (path: Literal['path'], literal: string) => literals.push({ path, text: literal })
    const value = parseJson(text, { name: 'The value', onLiteral })
    return literals.length > 0 ? { value, literals } : { value }
  } catch {
    return { value: text }
  }
}

/**
 * A copy of the options with the changes made. Objects on the way are made where there are none; items of a list are
 * reached by their index, and the index after the last adds one. Another `kind` begins its object anew, and so does a name
 * that stands for its object (`schedule=cosine` is `schedule.kind=cosine`), whatever the order of the changes; nothing else is
 * checked here, a wrong name is for the schema to refuse.
 * @throws DpmError DPM_INVALID_OPTION for an index that the list does not have.
 */
export function assign(options: Options, assignments: readonly Assignment[]): Options {
  const isInside = (path: readonly string[], outer: readonly string[]): boolean =>
    path.length > outer.length && outer.every((name, i) => name === path[i])
  const isKind = ({ path, value }: Assignment): boolean =>
    path.at(-1) === 'kind' || (typeof value === 'string' && assignments.some((other) => isInside(other.path, path)))
  const ordered = [...assignments.filter(isKind), ...assignments.filter((one) => !isKind(one))]
  const result = ordered.reduce<Options>(
    (before, { path, value }) => changed(before, path, value, []) as Options,
    options,
  )
  for (const { path, literals = [] } of assignments) {
    for (const literal of literals) note(result, [...path, ...literal.path], literal.text)
  }
  return result
}

function note(options: Options, path: readonly PropertyKey[], text: string): void {
  const within = path.slice(0, -1)
  const container = within.reduce<unknown>((at, name) => (isContainer(at) ? at[name] : undefined), options)
  const name = path.at(-1)
  if (name !== undefined && isContainer(container)) noteWritten(container, name, text)
}

function isContainer(value: unknown): value is Record<PropertyKey, unknown> {
  return typeof value === 'object' && value !== null
}

function changed(before: unknown, path: readonly string[], value: unknown, above: readonly string[]): unknown {
  const [name, ...rest] = path
  if (name === undefined) return value
  const here = [...above, name]
  if (Array.isArray(before)) return changedList(before, name, rest, value, here)
  const object = objectOf(before)
  const inner = changed(Object.hasOwn(object, name) ? object[name] : undefined, rest, value, here)
  if (name === 'kind' && rest.length === 0 && object['kind'] !== value) return { kind: value }
  // A computed name, so that `__proto__` becomes an option like any other, for the schema to refuse.
  return { ...object, [name]: inner }
}

function changedList(
  list: readonly unknown[],
  name: string,
  rest: readonly string[],
  value: unknown,
  here: readonly string[],
): unknown[] {
  const index = /^[0-9]{1,6}$/.test(name) ? Number(name) : Number.NaN
  if (!(index <= list.length)) {
    throw new DpmError(
      'DPM_INVALID_OPTION',
      `Expected an index from 0 to ${list.length} after \`${here.slice(0, -1).join('.')}\`, which is a list of ${list.length}, but received ${JSON.stringify(name)} in \`${here.join('.')}\`.`,
    )
  }
  const copy = [...list]
  const inner = changed(list[index], rest, value, here)
  if (inner === undefined) copy.splice(index, 1)
  else copy[index] = inner
  return copy
}

/** A name stands for the options of that kind, all at their defaults. */
function objectOf(options: unknown): Options {
  if (typeof options === 'string') return { kind: options }
  return isObject(options) ? options : {}
}

function isObject(value: unknown): value is Options {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
