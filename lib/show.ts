/**
 * Values as messages show them. Whatever comes in, nothing here throws, and the work is bounded: what is shown is what a
 * caller got wrong, so it may be circular, a proxy that throws, or a file's text that steers the terminal.
 */

/** Characters that a value may take in a message. */
const longest = 80
/** Lists and objects inside one another that are shown. */
const deepest = 8

/**
 * Control characters, which move a terminal's cursor or change what it shows (C0, DEL, C1, escape sequences begin with one),
 * and Unicode's marks of direction and ends of lines, which turn text around or break it. Joiners stay: emoji have them.
 */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const steering = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g

/** Text from elsewhere on one line, with what would steer a terminal written as `\u001b`: also valid within JSON. */
export function printable(text: string): string {
  return text.replace(steering, escaped)
}

/** The same of text of ours that has lines: line breaks stay. */
export function printableLines(text: string): string {
  return text.replace(steering, (character) => (character === '\n' ? character : escaped(character)))
}

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
}

/** A value as an error message shows it: quoted strings, short arrays, no walls of text. Never throws. */
export function show(value: unknown): string {
  try {
    const text = new Description().of(value)
    return text.length > longest ? `${cut(text, longest - 3)}...` : text
  } catch {
    // A proxy or a getter that throws, or one that was revoked.
    return `${typeof value === 'function' ? 'a function' : 'an object'} that cannot be read`
  }
}

/** A name from elsewhere as it stands within a sentence: on one line, and not too long. */
export function showName(name: PropertyKey): string {
  const text = typeof name === 'symbol' ? String(name) : `${name}`
  return printable(text.length > longest ? `${cut(text, longest - 3)}...` : text)
}

/** So many characters, without half of a surrogate pair at the end. */
function cut(text: string, length: number): string {
  const last = text.charCodeAt(length - 1)
  return text.slice(0, last >= 0xd800 && last < 0xdc00 ? length - 1 : length)
}

class Description {
  /** Characters that are left; what would not be shown is not looked at. */
  #left = longest + 1
  readonly #above: object[] = []

  of(value: unknown): string {
    return this.#plain(value) ?? this.#object(value as object)
  }

  /** What is no object; undefined for what is. */
  #plain(value: unknown): string | undefined {
    if (typeof value === 'string') return this.#take(quoted(value))
    if (typeof value === 'bigint') return this.#take(bigIntText(value))
    if (typeof value === 'symbol') return this.#take(showName(value))
    if (typeof value === 'function') return this.#take(`function ${showName(ownName(value) || '(anonymous)')}`)
    return typeof value === 'object' && value !== null ? undefined : this.#take(String(value))
  }

  #take(text: string): string {
    this.#left -= text.length
    return text
  }

  #object(value: object): string {
    if (this.#above.includes(value)) return this.#take('[circular]')
    if (this.#above.length === deepest) return this.#take(Array.isArray(value) ? '[…]' : '{…}')
    this.#above.push(value)
    const text = Array.isArray(value) ? this.#list(value) : this.#fields(value)
    this.#above.pop()
    return text
  }

  #list(list: readonly unknown[]): string {
    this.#take('[]')
    const items: string[] = []
    for (let index = 0; index < list.length && this.#left > 0; index++) items.push(this.of(list[index]), ',')
    items.pop()
    return `[${items.join('')}]`
  }

  #fields(value: object): string {
    const kind = kindOf(value)
    if (kind !== undefined) return this.#take(kind)
    this.#take('{}')
    const items: string[] = []
    for (const [name, field] of entriesOf(value)) {
      if (this.#left-- <= 0) break
      if (field !== undefined) items.push(this.#take(`${quoted(name)}:`) + this.of(field))
    }
    return `{${items.join(',')}}`
  }
}

/** Getters are not called: what they do is their own. */
function* entriesOf(value: object): Generator<readonly [string, unknown]> {
  for (const name of Object.keys(value)) {
    const property = Object.getOwnPropertyDescriptor(value, name)
    if (property) yield [name, property.get ? undefined : property.value]
  }
}

function quoted(text: string): string {
  return printable(JSON.stringify(text.length > longest ? `${cut(text, longest - 3)}...` : text))
}

/** Of a number beyond some 77 digits, writing it takes time that grows with its square. */
function bigIntText(value: bigint): string {
  const largest = 1n << 256n
  return value < largest && value > -largest ? `${value}n` : 'a bigint of more than 256 bits'
}

function ownName(value: object): string {
  const name: unknown = Object.getOwnPropertyDescriptor(value, 'name')?.value
  return typeof name === 'string' ? name : ''
}

/** What an object is where its fields do not say it; undefined for a plain one. */
function kindOf(value: object): string | undefined {
  if (ArrayBuffer.isView(value)) return `${className(value)} of ${value.byteLength} bytes`
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype === null || prototype === Object.prototype) return undefined
  if (value instanceof Error) return `${className(value)} ${quoted(String(value.message))}`
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? 'an invalid Date' : `Date ${value.toISOString()}`
  if (value instanceof Map || value instanceof Set) return `${className(value)} of ${value.size}`
  // An object of another context has a prototype that is not ours, and is plain all the same.
  const name = className(value)
  return name === 'Object' ? undefined : name
}

function className(value: object): string {
  let at: unknown = Object.getPrototypeOf(value)
  // A proxy may say at every turn that there is one more.
  for (let depth = 0; depth < deepest && typeof at === 'object' && at !== null; depth++) {
    const maker: unknown = Object.getOwnPropertyDescriptor(at, 'constructor')?.value
    if (typeof maker === 'function' && ownName(maker)) return showName(ownName(maker))
    at = Object.getPrototypeOf(at)
  }
  return 'an object'
}
