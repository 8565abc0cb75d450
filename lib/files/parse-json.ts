/**
 * The one reader of JSON from elsewhere: recipes, run folders, programs, settings in checkpoints. Unlike `JSON.parse` it
 * refuses what would do harm later (nesting that overflows whatever walks it, a name twice of which one is lost, `__proto__`),
 * passes over a byte order mark, and says in which line and column the text is wrong. RFC 8259.
 */
import { DpmError, type DpmErrorCode } from '../errors.js'
import { show, showName } from '../show.js'

export interface JsonSource {
  /** What the text is, for the message: `The recipe "my.json"`. */
  readonly name: string
  /** The code of the error; DPM_FILE_INVALID when absent. */
  readonly code?: DpmErrorCode
  /** What to do about it. */
  readonly cure?: string
  /** Characters that the text may have; far more than any settings take when absent. */
  readonly maximumLength?: number
  /** What more stands for a value, such as the `NaN` of Python. */
  readonly words?: Readonly<Record<string, unknown>>
  /** Told the path and the text of each number, `true`, `false` and `null`, as they are written. */
  readonly onLiteral?: (path: readonly (string | number)[], text: string) => void
}

/** Lists and objects inside one another; settings have some 8. */
export const maximumJsonDepth = 64
const usualMaximumLength = 8_000_000

/** @throws DpmError of the source's code naming what is wrong, and where. */
export function parseJson(text: string, source: JsonSource): unknown {
  const { maximumLength = usualMaximumLength } = source
  if (text.length > maximumLength) {
    throw fault(source, `has ${text.length} characters, more than the ${maximumLength} that are read`)
  }
  return new JsonReader(text, source).document()
}

const blank = /[ \t\n\r]*/y
const number = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?/y
const word = /[\p{L}\p{N}_$+.-]+/uy
/** A string without escapes, or with them. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: JSON forbids them in strings
const plainString = /"[^"\\\u0000-\u001f]*"/y
// biome-ignore lint/suspicious/noControlCharactersInRegex: JSON forbids them in strings
const stringPart = /[^"\\\u0000-\u001f]*/y
const escapeInString = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y

const words: Readonly<Record<string, unknown>> = { true: true, false: false, null: null }

class JsonReader {
  readonly #text: string
  readonly #source: JsonSource
  readonly #path: (string | number)[] = []
  #position: number

  constructor(text: string, source: JsonSource) {
    this.#text = text
    this.#source = source
    this.#position = text.startsWith('\ufeff') ? 1 : 0
  }

  document(): unknown {
    this.#skipBlank()
    if (this.#position === this.#text.length) throw fault(this.#source, 'is empty')
    if (/^\ufeff?[\0\ufffd]|^\ufeff?.\0/.test(this.#text)) {
      throw fault(this.#source, 'is no text in UTF-8, but perhaps in UTF-16, or no text at all')
    }
    const value = this.#value()
    this.#skipBlank()
    if (this.#position < this.#text.length) throw this.#unexpected('the end')
    return value
  }

  #value(): unknown {
    this.#skipBlank()
    const first = this.#text[this.#position]
    if (first === '{') return this.#object()
    if (first === '[') return this.#list()
    if (first === '"') return this.#string()
    return this.#literal()
  }

  #object(): Record<string, unknown> {
    const object: Record<string, unknown> = {}
    this.#enter()
    if (!this.#accept('}')) {
      do {
        this.#skipBlank()
        if (this.#text[this.#position] !== '"') throw this.#unexpected('a name in double quotes')
        const at = this.#position
        const name = this.#string()
        if (name === '__proto__') throw this.#fault('has the name "__proto__", which is refused', at)
        if (Object.hasOwn(object, name)) throw this.#fault(`has the name ${show(name)} twice`, at)
        if (!this.#accept(':')) throw this.#unexpected('":"')
        this.#path.push(name)
        object[name] = this.#value()
        this.#path.pop()
      } while (this.#accept(','))
      if (!this.#accept('}')) throw this.#unexpected('"," or "}"')
    }
    this.#depth--
    return object
  }

  #list(): unknown[] {
    const list: unknown[] = []
    this.#enter()
    if (!this.#accept(']')) {
      do {
        this.#path.push(list.length)
        list.push(this.#value())
        this.#path.pop()
      } while (this.#accept(','))
      if (!this.#accept(']')) throw this.#unexpected('"," or "]"')
    }
    this.#depth--
    return list
  }

  #depth = 0

  #enter(): void {
    if (this.#depth === maximumJsonDepth) {
      throw this.#fault(`has more than ${maximumJsonDepth} lists and objects inside one another`, this.#position)
    }
    this.#depth++
    this.#position++
  }

  #string(): string {
    const start = this.#position
    if (this.#match(plainString) !== undefined) return this.#text.slice(start + 1, this.#position - 1)
    this.#position++
    do this.#match(stringPart)
    while (this.#match(escapeInString) !== undefined)
    const end = this.#text[this.#position]
    if (end === undefined) throw this.#fault('has a string without its closing quote', start)
    if (end === '\\') throw this.#fault('has an escape in a string that JSON does not know', this.#position)
    if (end !== '"') throw this.#fault('has a line break or control character in a string', this.#position)
    this.#position++
    return JSON.parse(this.#text.slice(start, this.#position)) as string
  }

  #literal(): unknown {
    const start = this.#position
    const text = this.#match(word)
    if (text === undefined) throw this.#unexpected('a value')
    number.lastIndex = start
    const isNumber = number.test(this.#text) && number.lastIndex === this.#position
    const known = { ...words, ...this.#source.words }
    if (!isNumber && !Object.hasOwn(known, text)) {
      this.#position = start
      throw this.#unexpected('a value')
    }
    this.#source.onLiteral?.([...this.#path], text)
    return isNumber ? Number(text) : known[text]
  }

  #accept(character: string): boolean {
    this.#skipBlank()
    if (this.#text[this.#position] !== character) return false
    this.#position++
    return true
  }

  #skipBlank(): void {
    this.#match(blank)
  }

  /** What stands here of a pattern, which is then passed. */
  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#position
    const start = this.#position
    if (!pattern.test(this.#text)) return undefined
    this.#position = pattern.lastIndex
    return this.#text.slice(start, this.#position)
  }

  #unexpected(what: string): DpmError {
    const at = this.#position
    const character = this.#text[at]
    if (character === undefined) return this.#fault(`ends where ${what} is expected`, at)
    const found = this.#match(word) ?? String.fromCodePoint(this.#text.codePointAt(at) ?? 0)
    return this.#fault(`has ${shown(found)} where ${what} is expected${hint(found)}`, at)
  }

  #fault(reason: string, at: number): DpmError {
    const before = this.#text.slice(0, at)
    const line = before.split('\n').length
    const column = at - before.lastIndexOf('\n') - (line === 1 && before.startsWith('\ufeff') ? 1 : 0)
    return fault(this.#source, `${reason}, in line ${line}, column ${column}`)
  }
}

function shown(found: string): string {
  return found === '"' ? "'\"'" : `"${showName(found)}"`
}

/** What people write who mean another format. */
function hint(found: string): string {
  if (found === '/' || found === '#') return ' (JSON has no comments)'
  if (found === "'") return ' (JSON has double quotes only)'
  if (found === '}' || found === ']') return ' (is there a comma too many?)'
  if (/^[-+]?(nan|inf|infinity)$/i.test(found)) return ' (JSON has finite numbers only)'
  return /^(true|false|none|null|undefined)$/i.test(found) ? ' (JSON has true, false and null)' : ''
}

function fault({ name, code = 'DPM_FILE_INVALID', cure }: JsonSource, reason: string): DpmError {
  return new DpmError(code, `${name} cannot be read as JSON: it ${reason}.${cure ? ` ${cure}` : ''}`)
}
