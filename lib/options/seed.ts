/**
 * Seeds: whole numbers of 64 bits. JavaScript's numbers are exact to 2^53 - 1; larger seeds are bigints, or text of digits, which
 * is also how JSON keeps them.
 */
import * as z from 'zod'
import { expected } from '../errors.js'

/** From 0 to 2^64 - 1: a number up to 2^53 - 1, a bigint, or digits. */
export type Seed = number | bigint | string

const largest = 2n ** 64n - 1n
const what = 'a whole number from 0 to 2^64 - 1'

/** A number where that is exact, else digits. @throws DpmError DPM_INVALID_OPTION */
export function parseSeed(seed: unknown, name = 'seed'): number | string {
  const value = exactly(seed)
  if (value !== undefined && value >= 0n && value <= largest) return asSetting(value)
  const isRounded = typeof seed === 'number' && Number.isInteger(seed) && seed > 0 && BigInt(seed) <= 2n * largest
  const cure = isRounded ? `A number is exact to 2^53 - 1 only: give a bigint, or the digits in quotes.` : ''
  throw expected(what, name, seed, cure, 'DPM_INVALID_OPTION')
}

/**
 * The seed as generators take it, exact in a number: itself to 2^53 - 1, and of a larger one 53 bits of a hash of it (the
 * finalizer of SplitMix64, Steele et al. 2014).
 * @throws DpmError DPM_INVALID_OPTION
 */
export function seedNumber(seed: unknown, name = 'seed'): number {
  const setting = parseSeed(seed, name)
  if (typeof setting === 'number') return setting
  const word = (value: bigint): bigint => BigInt.asUintN(64, value)
  let bits = BigInt(setting)
  bits = word((bits ^ (bits >> 30n)) * 0xbf58476d1ce4e5b9n)
  bits = word((bits ^ (bits >> 27n)) * 0x94d049bb133111ebn)
  return Number((bits ^ (bits >> 31n)) >> 11n)
}

/** Of settings: a number, or digits where a number would not be exact. */
export const seedSchema = z
  .union([z.int(), z.bigint(), z.string()], { error: `Expected ${what}` })
  .transform((seed, context) => {
    try {
      return parseSeed(seed)
    } catch {
      context.addIssue({ code: 'custom', message: `Expected ${what}` })
      return z.NEVER
    }
  })

function exactly(seed: unknown): bigint | undefined {
  if (typeof seed === 'bigint') return seed
  if (typeof seed === 'number') return Number.isSafeInteger(seed) ? BigInt(seed) : undefined
  return typeof seed === 'string' && /^[0-9]{1,20}$/.test(seed) ? BigInt(seed) : undefined
}

function asSetting(seed: bigint): number | string {
  return seed <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(seed) : String(seed)
}
