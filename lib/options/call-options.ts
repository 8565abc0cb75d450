/**
 * Options of a call, as callers of JavaScript give them: every name is known, every value is of its kind. What an option
 * means is for the call to judge (ranges that depend on the model, sizes that must fit one another).
 */
import { DpmError, expected } from '../errors.js'
import { show, showName } from '../show.js'
import { isNumberList } from './number-list.js'
import { nearest } from './options.js'

export interface Check {
  /** What belongs there, for the message. */
  readonly what: string
  readonly fits: (value: unknown) => boolean
  readonly required?: boolean
}

/** A check for every option that there is. */
export type Checks<Options> = { readonly [Name in keyof Options]-?: Check }

const isObject = (value: unknown): value is object =>
  (typeof value === 'object' && value !== null) || typeof value === 'function'

export const checks = {
  any: { what: 'a value', fits: () => true },
  number: { what: 'a finite number', fits: Number.isFinite },
  flag: { what: 'true or false', fits: (value) => typeof value === 'boolean' },
  text: { what: 'text', fits: (value) => typeof value === 'string' },
  object: { what: 'an object', fits: (value) => isObject(value) && !Array.isArray(value) },
  callback: { what: 'a function', fits: (value) => typeof value === 'function' },
  list: { what: 'a list', fits: Array.isArray },
  numbers: { what: 'a list of numbers or a typed array', fits: isNumberList },
  signal: { what: 'an AbortSignal', fits: isSignal },
} as const satisfies Record<string, Check>

/** A whole number from least to most. */
export function whole(least: number, most: number = Number.MAX_SAFE_INTEGER): Check {
  return {
    what:
      most === Number.MAX_SAFE_INTEGER
        ? `a whole number of at least ${least}`
        : `a whole number from ${least} to ${most}`,
    fits: (value) => Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most,
  }
}

export function oneOf(values: readonly string[]): Check {
  return { what: `one of ${values.join(', ')}`, fits: (value) => typeof value === 'string' && values.includes(value) }
}

export function instanceOf(what: string, maker: { readonly prototype: object }): Check {
  return { what, fits: (value) => value instanceof (maker as new () => unknown) }
}

export function required(check: Check): Check {
  return { ...check, required: true }
}

/** Of this library, of the browser, or of a package: what has their parts. */
export function isSignal(value: unknown): value is AbortSignal {
  if (typeof value !== 'object' || value === null) return false
  const { aborted, addEventListener, removeEventListener } = value as Partial<AbortSignal>
  return (
    typeof aborted === 'boolean' && typeof addEventListener === 'function' && typeof removeEventListener === 'function'
  )
}

/**
 * A plain copy of what a caller gave, each option read once; those that are undefined are absent.
 * @param place the call, for the message.
 * @param path of the object within the options of the call, with its dot: `guides.0.`
 * @throws DpmError DPM_INVALID_OPTION naming the option, what was received, and the nearest name there is.
 */
export function readOptions<Options extends object>(
  place: string,
  given: Options | undefined,
  known: Checks<Options>,
  path = '',
): Options {
  if (given !== undefined && !checks.object.fits(given)) {
    throw expected('an object of options', path.replace(/\.$/, '') || place, given, '', 'DPM_INVALID_OPTION')
  }
  const [options, names] = read(place, given ?? {}, Object.keys(known))
  for (const name of names) {
    if (Object.hasOwn(known, name)) continue
    const near = nearest(name, Object.keys(known))
    throw new DpmError(
      'DPM_INVALID_OPTION',
      `Unknown option \`${path}${showName(name)}\`.${near ? ` Did you mean \`${path}${near}\`?` : ''} The options there are ${Object.keys(known).join(', ')}.\n(in ${place})`,
    )
  }
  for (const [name, check] of Object.entries<Check>(known)) {
    const value = options[name]
    if (value === undefined ? !check.required : check.fits(value)) continue
    const received = value === undefined ? 'nothing' : show(value)
    throw new DpmError(
      'DPM_INVALID_OPTION',
      `Expected ${check.what} for \`${path}${name}\` but received ${received}.\n(in ${place})`,
    )
  }
  return options as unknown as Options
}

/** Getters and proxies of the caller's may throw: that is an error of their options. */
function read(place: string, given: object, known: readonly string[]): [Record<string, unknown>, string[]] {
  try {
    const values: Record<string, unknown> = {}
    for (const name of known) {
      const value: unknown = (given as Record<string, unknown>)[name]
      if (value !== undefined) values[name] = value
    }
    const own = Object.keys(given).filter((name) => (given as Record<string, unknown>)[name] !== undefined)
    return [values, own]
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : show(cause)
    throw new DpmError('DPM_INVALID_OPTION', `The options of ${place} cannot be read: ${reason}.`, { cause })
  }
}
