/**
 * How a value was written on the command line, beside what JSON makes of it: `2024` may mean a folder, `null` a column, `1e5`
 * a class. The schema decides, so both are kept: the text is no property that anything else sees.
 */
const key = Symbol('as it was written')

/** By name, the index of an item as text. */
type Texts = Map<string, string>
type Container = { [key]?: Texts }

/** Notes of an item of an object or a list how it was written. */
export function noteWritten(container: object, name: PropertyKey, text: string): void {
  const texts = (container as Container)[key] ?? new Map()
  Object.defineProperty(container, key, { value: texts, enumerable: false, configurable: true })
  texts.set(String(name), text)
}

/** A copy in which the value at a path is the text that was written for it; undefined where none was. */
export function asWritten(root: unknown, path: readonly PropertyKey[]): unknown {
  const [name, ...rest] = path
  if (typeof root !== 'object' || root === null || name === undefined) return undefined
  const inner: unknown = (root as Record<PropertyKey, unknown>)[name]
  const text = (root as Container)[key]?.get(String(name))
  const value = rest.length === 0 && typeof inner !== 'string' ? text : asWritten(inner, rest)
  if (value === undefined) return undefined
  const copy: object = Array.isArray(root) ? [...root] : { ...root }
  Object.defineProperty(copy, key, { value: (root as Container)[key], enumerable: false, configurable: true })
  return Object.assign(copy, { [name]: value })
}
