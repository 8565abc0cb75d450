import fc from 'fast-check'
import { expect, test } from 'vitest'
import { DpmError, expected, show } from '../../lib/errors.js'
import { printable, printableLines, showName } from '../../lib/show.js'

const thrower = (): never => {
  throw new TypeError('on purpose')
}

function nested(depth: number): unknown {
  let value: unknown = 1
  for (let level = 0; level < depth; level++) value = level % 2 === 0 ? [value] : { inner: value }
  return value
}

/** What a message must be able to name. */
function strangers(): readonly (readonly [string, unknown])[] {
  const circle: Record<string, unknown> = { kind: 'ddim' }
  circle['self'] = circle
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  const list = Proxy.revocable([], {})
  list.revoke()
  const callable = Proxy.revocable(() => 1, {})
  callable.revoke()
  const traps = { get: thrower, ownKeys: thrower, getPrototypeOf: thrower, getOwnPropertyDescriptor: thrower }
  const endless: object = new Proxy({}, { getPrototypeOf: () => endless })
  return [
    ['a circle', circle],
    ['a list in itself', ((all: unknown[]) => all.push(all) && all)([])],
    ['a BigInt inside', { seed: 1n, list: [2n ** 70n] }],
    ['a huge BigInt', 1n << 5_000_000n],
    ['a getter that throws', Object.defineProperty({}, 'x', { enumerable: true, get: thrower })],
    ['a proxy that throws', new Proxy({}, traps)],
    ['a proxy of a list that throws', new Proxy([], traps)],
    ['a proxy of a function that throws', new Proxy(() => 1, traps)],
    ['a revoked proxy', proxy],
    ['a revoked list', list.proxy],
    ['a revoked function', callable.proxy],
    ['a proxy whose prototypes have no end', endless],
    ['a toJSON that throws', { toJSON: thrower }],
    ['a toString that throws', { toString: thrower, [Symbol.toPrimitive]: thrower }],
    ['200,000 lists and objects inside one another', nested(200_000)],
    ['a symbol', Symbol('s')],
    ['symbols inside', { [Symbol('key')]: Symbol('value'), list: [Symbol('item')] }],
    ['no prototype', Object.create(null)],
    ['no prototype, with fields', Object.assign(Object.create(null), { a: 1 })],
    ['a list of 10,000,000', new Array(10_000_000).fill(0)],
    ['a list of holes', new Array(2 ** 32 - 1)],
    ['10 MB of text', 'x'.repeat(10_000_000)],
    ['an error whose message throws', Object.defineProperty(new Error('x'), 'message', { get: thrower })],
    ['a wrong date', new Date(Number.NaN)],
    ['a typed array without a constructor', Object.setPrototypeOf(new Float32Array(2), null)],
    ['a class without a name', new (class {})()],
    ['a function whose name throws', Object.defineProperty(() => 1, 'name', { get: thrower })],
    ['a function whose name is a symbol', Object.defineProperty(() => 1, 'name', { value: Symbol('name') })],
    ['half a surrogate pair', '\ud83d'.repeat(100)],
    ['undefined', undefined],
  ]
}

test.each(strangers())('%s is shown: nothing is thrown, it is short, on one line, and takes no time', (_, value) => {
  const begin = performance.now()
  const text = show(value)
  expect(text.length).toBeLessThanOrEqual(100)
  expect(text).toBe(printable(text))
  expect(expected('a number', 'count', value)).toBeInstanceOf(DpmError)
  expect(performance.now() - begin).toBeLessThan(500)
})

test('any value is shown without a throw', () => {
  fc.assert(
    fc.property(
      fc.anything({ withBigInt: true, withTypedArray: true, withNullPrototype: true, withDate: true }),
      (value) => {
        const text = show(value)
        expect(text.length).toBeLessThanOrEqual(500)
        expect(text).toBe(printable(text))
      },
    ),
  )
})

test('what is shown says what the value was', () => {
  expect(show({ kind: 'ddim', steps: [1, 2.5, null, true] })).toBe('{"kind":"ddim","steps":[1,2.5,null,true]}')
  expect(show([undefined, Number.NaN, 3n])).toBe('[undefined,NaN,3n]')
  expect(show('a "b"')).toBe('"a \\"b\\""')
  expect(show(new Float32Array(4))).toBe('Float32Array of 16 bytes')
  expect(show(new Map([[1, 2]]))).toBe('Map of 1')
  expect(show(new TypeError('no'))).toBe('TypeError "no"')
  expect(show(Promise.resolve())).toBe('Promise')
  const circle: unknown[] = []
  circle.push(circle)
  expect(show(circle)).toBe('[[circular]]')
  expect(show(new Array(1000).fill(7))).toMatch(/^\[7,7,7.*\.\.\.$/)
})

test('control characters of names and messages are shown, never sent; line breaks of ours stay', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 60 }), (text) => {
      expect(new DpmError('DPM_INTERNAL', text).message.replaceAll('\n', '')).not.toMatch(
        /[\p{Cc}\u202a-\u202e\u2066-\u2069]/u,
      )
      expect(showName(text)).not.toMatch(/\n/)
      expect(JSON.parse(printable(JSON.stringify(text)))).toBe(text)
    }),
  )
  expect(printable('\u001b]0;title\u0007\u009b2J\u202etxt\n')).toBe('\\u001b]0;title\\u0007\\u009b2J\\u202etxt\\u000a')
  expect(printableLines('one\ntwo\r')).toBe('one\ntwo\\u000d')
  // A family is three people and two joiners.
  expect(printable('👨‍👩‍👧 naïve 日本')).toBe('👨‍👩‍👧 naïve 日本')
})
