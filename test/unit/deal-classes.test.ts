/** Which class each image of a run is told. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { dealClasses } from '../../lib/generation/generate.js'

const classes = ['cat', 'dog', 'eel']

describe('where no class is named', () => {
  test('a network with a null class, or without classes, is told none', () => {
    expect(dealClasses({ classes, nullClass: true }, undefined, 4)).toBe(null)
    expect(dealClasses({ classes: [], nullClass: false }, undefined, 4)).toBe(null)
  })

  test('another is told the class of each noise key, in any company', () => {
    const known = { classes, nullClass: false }
    expect(dealClasses(known, undefined, 5)).toEqual(Int32Array.of(0, 1, 2, 0, 1))
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 2 ** 32 - 1 }), { minLength: 1, maxLength: 9 }), (keys) => {
        expect(dealClasses(known, undefined, keys.length, keys)).toEqual(Int32Array.from(keys, (key) => key % 3))
      }),
    )
  })
})

test('named classes are dealt out in turn, whatever the noise keys', () => {
  for (const nullClass of [true, false]) {
    const dealt = dealClasses({ classes, nullClass }, ['eel', 0], 3, [7, 8, 9])
    expect(dealt).toEqual(Int32Array.of(2, 0, 2))
  }
  expect(() => dealClasses({ classes, nullClass: false }, ['ell'], 1)).toThrow('Did you mean "eel"?')
  expect(() => dealClasses({ classes: [], nullClass: false }, ['eel'], 1)).toThrow('not class-conditional')
})
