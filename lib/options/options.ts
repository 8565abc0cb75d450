/** One declaration of an option gives its type, check, default, command-line path, checkpoint field and docs row. */
import type * as z from 'zod'
import { DpmError } from '../errors.js'
import { show, showName } from '../show.js'
import { asWritten } from './written.js'

/** A row of the options table: what `--help`, docs and `dpm-torch recipes` print. */
export interface OptionRow {
  /** Dotted path, as `--set` takes it. */
  readonly path: string
  readonly type: string
  readonly default: unknown
  readonly description: string
}

export interface OptionsDefinition<Settings> {
  readonly name: string
  readonly schema: z.ZodType<Settings>
  /**
   * Complete, frozen settings from what a caller wrote.
   * @param place where the value came from, for the message: a file, a flag, a call.
   * @throws DpmError DPM_INVALID_OPTION naming value, place and choices.
   */
  parse(value: unknown, place?: string): Settings
  rows(): readonly OptionRow[]
}

export function defineOptions<Schema extends z.ZodType>(
  name: string,
  schema: Schema,
): OptionsDefinition<z.output<Schema>> {
  return {
    name,
    schema: schema as z.ZodType<z.output<Schema>>,
    parse: (value, place = name) => parseOptions(schema, value, place),
    rows: () => optionRowsOf(schema),
  }
}

/** Parses with zod, turning its first complaints into one DpmError in the house's words. */
export function parseOptions<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  place: string,
): z.output<Schema> {
  try {
    const result = parseWritten(schema, value)
    if (result.success) return deepFreeze(result.data)
    const issues = result.error.issues.slice(0, shownIssues)
    const lines = issues.flatMap((issue) => describeIssue(issue, schema, value, place))
    throw new DpmError('DPM_INVALID_OPTION', `${lines.slice(0, shownIssues).join('\n')}\n(in ${place})`, {
      details: { issues: issues.map(({ path, message }) => ({ path: pathText(path), message })) },
    })
  } catch (error) {
    if (error instanceof DpmError) throw error
    throw unreadable(value, place, error)
  }
}

/** Where the schema refuses a number, `true`, `false` or `null` that the command line wrote, its text is tried. */
function parseWritten<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
): z.ZodSafeParseResult<z.output<Schema>> {
  let best = schema.safeParse(value)
  let given = value
  for (const { path } of best.error?.issues.slice(0, triedTexts) ?? []) {
    const changed = asWritten(given, path)
    if (changed === undefined) continue
    const result = schema.safeParse(changed)
    if (result.error?.issues.some((issue) => pathText(issue.path) === pathText(path))) continue
    best = result
    given = changed
  }
  return best
}

/** A list may have as many names that look like numbers. */
const triedTexts = 1000

/** Complaints that a message has; a wrong list may have a million. */
const shownIssues = 5

/** An object of the caller's that throws while it is read: a getter, or a proxy. */
function unreadable(value: unknown, place: string, error: unknown): DpmError {
  const reason = error instanceof Error ? error.message : show(error)
  return new DpmError(
    'DPM_INVALID_OPTION',
    `The options in ${place} cannot be read: ${show(value)} threw "${reason}".`,
    {
      cause: error,
    },
  )
}

function pathText(path: readonly PropertyKey[]): string {
  return path.map(showName).join('.')
}

function describeIssue(issue: z.core.$ZodIssue, schema: z.ZodType, root: unknown, place: string): string[] {
  const path = pathText(issue.path)
  const received = valueAt(root, issue.path)
  const name = path || place
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.slice(0, shownIssues).map((key) => {
        const known = keysAt(schema, issue.path, root)
        const near = nearest(key, known)
        const full = path ? `${path}.${showName(key)}` : showName(key)
        const choices = known.length > 0 ? ` The options there are ${known.join(', ')}.` : ''
        return `Unknown option \`${full}\`.${near ? ` Did you mean \`${path ? `${path}.` : ''}${near}\`?` : ''}${choices}`
      })
    case 'invalid_value': {
      const choices = issue.values.map(choiceText)
      const near = typeof received === 'string' ? nearest(received, issue.values.map(String)) : undefined
      const what = choices.length === 1 ? choices[0] : `one of ${choices.join(', ')}`
      return [sentence(`${what}`, name, received, near ? `Did you mean ${show(near)}?` : '')]
    }
    case 'invalid_union': {
      const choices = discriminators(issue)
      if (choices) {
        // A kind may be written as a bare name: then the name is what was received.
        const whole = valueAt(root, issue.path.slice(0, -1))
        if (typeof whole === 'string') {
          const near = nearest(whole, choices)
          const where = issue.path.slice(0, -1).join('.') || place
          return [sentence(`one of ${choices.join(', ')}`, where, whole, near ? `Did you mean "${near}"?` : '')]
        }
        const kindPath =
          issue.discriminator && !path.endsWith(issue.discriminator)
            ? [path, issue.discriminator].filter(Boolean).join('.')
            : name
        const kind = issue.discriminator && isRecord(received) ? received[issue.discriminator] : received
        const near = typeof kind === 'string' ? nearest(kind, choices) : undefined
        return [sentence(`one of ${choices.join(', ')}`, kindPath, kind, near ? `Did you mean "${near}"?` : '')]
      }
      const branches = issue.errors.flat().map((inner) => inner.message)
      return [sentence(branches.join(' or ') || 'another value', name, received)]
    }
    case 'invalid_type':
      return [sentence(withArticle(issue.expected), name, received, wayToWrite(issue.expected, received))]
    case 'too_small':
      return [
        sentence(
          `${sizeOf(issue.origin)} ${issue.inclusive === false ? 'above' : 'of at least'} ${issue.minimum}`,
          name,
          received,
        ),
      ]
    case 'too_big':
      return [
        sentence(
          `${sizeOf(issue.origin)} ${issue.inclusive === false ? 'below' : 'of at most'} ${issue.maximum}`,
          name,
          received,
        ),
      ]
    case 'not_multiple_of':
      return [sentence(`a multiple of ${issue.divisor}`, name, received)]
    default:
      return [`${issue.message.replace(/\.$/, '')} for \`${name}\`, received ${show(received)}.`]
  }
}

function sentence(what: string, name: string, received: unknown, cure = ''): string {
  return `Expected ${what} for \`${name}\` but received ${received === undefined ? 'nothing' : show(received)}.${cure ? ` ${cure}` : ''}`
}

/** What to type where the value is right and its type is not. */
function wayToWrite(type: string, received: unknown): string {
  if (type === 'string' && ['number', 'boolean', 'bigint'].includes(typeof received)) {
    return `Write it in quotes: "${String(received)}".`
  }
  if (type === 'array' && isAtom(received)) return `Write a list: [${show(received)}].`
  if (typeof received !== 'string') return ''
  if (type === 'boolean') return 'Write true or false, without quotes.'
  const isNumeric = (type === 'number' || type === 'int') && /^-?[0-9]+(\.[0-9]+)?$/.test(received)
  return isNumeric ? `Write it without quotes: ${received}.` : ''
}

function isAtom(value: unknown): boolean {
  return typeof value === 'number' || (typeof value === 'string' && !/^[[{]/.test(value))
}

/** A choice as it can be told from the commas between choices: a separator is in quotes. */
function choiceText(value: unknown): string {
  const text = String(value)
  return /^[\w.+:/-]+$/.test(text) ? text : show(text)
}

/** Names that can be told apart and given back: those with commas or quotes are in quotes. */
export function nameList(names: readonly string[], most = 20): string {
  const listed = names.slice(0, most).map((name) => (/[,"\\]|^\s|\s$|^$/.test(name) ? show(name) : showName(name)))
  return `${listed.join(', ')}${names.length > most ? ' …' : ''}`
}

function sizeOf(origin: string): string {
  return origin === 'string' ? 'a length' : origin === 'array' ? 'a list' : 'a number'
}

function withArticle(type: string): string {
  const name = type === 'int' ? 'whole number' : type === 'record' ? 'object' : type
  return `${/^[aeiou]/.test(name) ? 'an' : 'a'} ${name}`
}

function discriminators(issue: z.core.$ZodIssueInvalidUnion): string[] | undefined {
  const options = (issue as unknown as { options?: unknown }).options
  return Array.isArray(options) ? options.map(String) : undefined
}

const longestName = 200

/** The known name closest to a mistyped one, when it is close enough to be meant. */
export function nearest(name: string, known: readonly string[]): string | undefined {
  // Nobody mistypes a name of that length, and the distance to it takes time.
  if (name.length > longestName) return undefined
  const lower = name.toLowerCase()
  const ranked = known
    .map((candidate) => ({ candidate, distance: editDistance(lower, candidate.toLowerCase()) }))
    .sort((a, b) => a.distance - b.distance)
  const best = ranked[0]
  return best && best.distance <= Math.max(2, Math.floor(name.length / 3)) ? best.candidate : undefined
}

function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const current = [i]
    for (let j = 1; j <= b.length; j++) {
      const substitution = (previous[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      current.push(Math.min(substitution, (previous[j] ?? 0) + 1, (current[j - 1] ?? 0) + 1))
    }
    previous = current
  }
  return previous[b.length] ?? 0
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function valueAt(root: unknown, path: readonly PropertyKey[]): unknown {
  let value = root
  for (const key of path)
    value = isRecord(value) || Array.isArray(value) ? (value as Record<PropertyKey, unknown>)[key] : undefined
  return value
}

/** Zod's own description of a schema, reduced to what a walk over objects needs. */
interface Definition {
  readonly type: string
  readonly shape?: Record<string, z.ZodType>
  readonly innerType?: z.ZodType
  readonly in?: z.ZodType
  readonly out?: z.ZodType
  readonly options?: readonly z.ZodType[]
  readonly discriminator?: string
  readonly defaultValue?: unknown
  readonly entries?: Record<string, string | number>
  readonly values?: readonly unknown[]
  readonly element?: z.ZodType
}

function definitionOf(schema: z.ZodType): Definition {
  return (schema as unknown as { _zod: { def: Definition } })._zod.def
}

function unwrap(schema: z.ZodType): z.ZodType {
  const definition = definitionOf(schema)
  // Of a pipe the end that names options: what `z.preprocess` makes has them behind a function.
  const piped = definition.in && definitionOf(definition.in).type === 'transform' ? definition.out : definition.in
  const inner = definition.innerType ?? piped
  return inner ? unwrap(inner) : schema
}

/** Names of the options that the object at a path has; in a discriminated union, those of the branch that was chosen. */
function keysAt(schema: z.ZodType, path: readonly PropertyKey[], root: unknown): string[] {
  let current = unwrap(schema)
  let value = root
  const branch = (): void => {
    const definition = definitionOf(current)
    if (!definition.options || !isRecord(value)) return
    for (const option of definition.options) {
      const shape = definitionOf(unwrap(option)).shape
      const tag = definition.discriminator ? shape?.[definition.discriminator] : undefined
      const tagValue = definition.discriminator ? value[definition.discriminator] : undefined
      if (tag?.safeParse(tagValue).success) current = unwrap(option)
    }
  }
  branch()
  for (const key of path) {
    const definition = definitionOf(current)
    const next = definition.shape?.[String(key)] ?? definition.element
    if (!next) return []
    current = unwrap(next)
    value = isRecord(value) || Array.isArray(value) ? (value as Record<PropertyKey, unknown>)[key] : undefined
    branch()
  }
  return Object.keys(definitionOf(current).shape ?? {})
}

/** The rows of a schema's options. */
export function optionRowsOf(schema: z.ZodType): readonly OptionRow[] {
  return optionRows(schema)
}

function optionRows(schema: z.ZodType, prefix = '', inherited?: unknown): OptionRow[] {
  const inner = unwrap(schema)
  const definition = definitionOf(inner)
  const outer = definitionOf(schema)
  const fallback = outer.type === 'default' || outer.type === 'prefault' ? outer.defaultValue : inherited
  if (definition.shape) {
    return Object.entries(definition.shape).flatMap(([key, field]) =>
      optionRows(field, prefix ? `${prefix}.${key}` : key, isRecord(fallback) ? fallback[key] : undefined),
    )
  }
  if (definition.options && definition.discriminator) {
    return definition.options.flatMap((option) => optionRows(option, prefix, fallback))
  }
  return [
    {
      path: prefix,
      type: typeName(inner),
      default: fallback,
      description: schema.description ?? inner.description ?? '',
    },
  ]
}

function typeName(schema: z.ZodType): string {
  const definition = definitionOf(schema)
  if (definition.entries) return Object.values(definition.entries).map(choiceText).join(' | ')
  if (definition.values) return definition.values.map(choiceText).join(' | ')
  if (definition.options) return [...new Set(definition.options.map((option) => typeName(unwrap(option))))].join(' | ')
  if (definition.element) return `list of ${typeName(unwrap(definition.element))}`
  return definition.type
}

/** Plain objects and lists, those within them too: what else a caller gave stays the caller's. On a stack of its own, for any depth. */
function deepFreeze<T>(value: T): T {
  const left: unknown[] = [value]
  while (left.length > 0) {
    const next = left.pop()
    if (!isPlain(next) || Object.isFrozen(next)) continue
    Object.freeze(next)
    for (const inner of Object.values(next)) left.push(inner)
  }
  return value
}

function isPlain(value: unknown): value is object {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === null || prototype === Object.prototype || prototype === Array.prototype
}
