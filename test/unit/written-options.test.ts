import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import * as z from 'zod'
import { withHomeFolder } from '../../lib/cli/home-folder.js'
import { classesOf, moreClasses } from '../../lib/cli/sample-classes.js'
import { dealClasses } from '../../lib/generation/generate.js'
import { assign, parseAssignment } from '../../lib/options/assign.js'
import { nameOrOptions } from '../../lib/options/kind-schema.js'
import { nameList, parseOptions } from '../../lib/options/options.js'

const schema = z.strictObject({
  name: z.string().default(''),
  nothing: z.string().nullable().default('x'),
  names: z.array(z.string()).default([]),
  size: z.int().default(1),
  flip: z.boolean().default(false),
  either: z.union([z.number(), z.string()]).default(0),
  part: nameOrOptions(
    z.discriminatedUnion('kind', [
      z.strictObject({
        kind: z.literal('table'),
        column: z.string().default(''),
        columns: z.array(z.string()).default([]),
      }),
      z.strictObject({ kind: z.literal('list'), items: z.array(z.strictObject({ name: z.string() })).default([]) }),
    ]),
  ).prefault('table'),
})

const parsed = (...texts: string[]) => parseOptions(schema, assign({}, texts.map(parseAssignment)), 'the test')

describe('--set: where an option is text, what looks like JSON is text', () => {
  test.each([
    '2024',
    '0',
    '007',
    '-1',
    '1e5',
    '0x10',
    'true',
    'false',
    'null',
    '1.0',
    '1.50',
    '+1',
    '1_000',
    'NaN',
    '18446744073709551616',
    '[x]',
    '{x}',
    'a=b',
    '"quoted"',
  ])('name=%s', (text) => {
    expect(parsed(`name=${text}`).name).toBe(text === '"quoted"' ? 'quoted' : text)
    expect(parsed('part=table', `part.column=${text}`).part).toMatchObject({
      column: text === '"quoted"' ? 'quoted' : text,
    })
  })

  test('items of lists and of objects that were written as JSON too', () => {
    expect(parsed('names=[0,1]').names).toEqual(['0', '1'])
    expect(parsed('names=["a",1.50,true,null]').names).toEqual(['a', '1.50', 'true', 'null'])
    expect(parsed('names=["a"]', 'names.1=7').names).toEqual(['a', '7'])
    expect(parsed('part={"kind":"table","column":3,"columns":[1,"b"]}').part).toMatchObject({
      column: '3',
      columns: ['1', 'b'],
    })
    expect(parsed('part.kind=list', 'part.items=[{"name":1e5},{"name":"b"}]').part).toMatchObject({
      items: [{ name: '1e5' }, { name: 'b' }],
    })
  })

  test('JSON first where the option takes either, and where it is no text', () => {
    expect(parsed('either=7').either).toBe(7)
    expect(parsed('either=x').either).toBe('x')
    expect(parsed('nothing=null').nothing).toBeNull()
    expect(parsed('nothing=7').nothing).toBe('7')
    expect(parsed('size=3', 'flip=true')).toMatchObject({ size: 3, flip: true })
  })

  test('any text that is no JSON text in quotes, list or object is the name that was written', () => {
    const text = fc
      .string({ minLength: 1, unit: 'grapheme' })
      .filter((one) => !/^["[{]/.test(one) && one.trim() === one)
    fc.assert(
      fc.property(text, (one) => {
        expect(parsed(`name=${one}`).name).toBe(one)
      }),
    )
    fc.assert(
      fc.property(fc.double(), (one) => {
        expect(parsed(`name=${one}`).name).toBe(String(one))
      }),
    )
  })

  test('what is refused all the same is refused as it was read, with what to type', () => {
    expect(() => parsed('size=many')).toThrow(/Expected a.* number for `size` but received "many"\./)
    expect(() => parsed('names=3')).toThrow(/Expected an array for `names` but received 3\. Write a list: \[3\]\./)
    expect(() => parsed('names=a')).toThrow(/Write a list: \["a"\]\./)
    expect(() => parsed('flip=yes')).toThrow(
      /Expected a boolean for `flip` but received "yes"\. Write true or false, without quotes\./,
    )
    expect(() => parseOptions(schema, { name: 2024 }, 'my.json')).toThrow(
      /`name` but received 2024\. Write it in quotes: "2024"\./,
    )
    expect(() => parseOptions(schema, { size: '3' }, 'my.json')).toThrow(/received "3"\. Write it without quotes: 3\./)
  })
})

describe('messages of options', () => {
  test('a value that is wrong as a whole is named by its place', () => {
    const clip = nameOrOptions(z.discriminatedUnion('kind', [z.strictObject({ kind: z.literal('none') })]))
    expect(() => parseOptions(clip, 5, 'clip')).toThrow(/for `clip` but received 5/)
    expect(() => parseOptions(clip, 'nope', 'clip')).toThrow(/none for `clip`|`clip/)
  })

  test('choices that are separators can be told from the commas between them', () => {
    const one = z.strictObject({ separator: z.enum([',', ';', '\t', ' ', 'tab']) })
    expect(() => parseOptions(one, { separator: 'x' }, 'here')).toThrow('one of ",", ";", "\\t", " ", tab for')
  })

  test('a million faults make a short message, and names from elsewhere stay on their line', () => {
    const begin = performance.now()
    const many = Object.fromEntries(Array.from({ length: 3_000 }, (_, i) => [`n\u001b[2J${i}`, i]))
    const told = (() => {
      try {
        parseOptions(schema, { ...many, names: new Array(3_000).fill(1) }, 'here')
      } catch (error) {
        return (error as Error).message
      }
      return ''
    })()
    expect(told.length).toBeLessThan(3000)
    expect(told).not.toContain('\u001b')
    expect(performance.now() - begin).toBeLessThan(3000)
  })

  test.each(['constructor', 'toString', '__proto__', 'hasOwnProperty', '__defineGetter__'])(
    '%s is an unknown option',
    (name) => {
      expect(() => parseOptions(schema, JSON.parse(`{"${name}": 1}`), 'here')).toThrow(
        new RegExp(`Unknown option .${name}.`),
      )
      expect(() => parsed(`${name}=1`)).toThrow(new RegExp(`Unknown option .${name}.`))
      expect(() => parsed('part.kind=table', `part.${name}=1`)).toThrow(new RegExp(`Unknown option .part.${name}.`))
    },
  )

  test('a getter that throws is an error of options', () => {
    const trap = Object.defineProperty({}, 'name', {
      enumerable: true,
      get: () => {
        throw new TypeError('mine')
      },
    })
    expect(() => parseOptions(schema, trap, 'here')).toThrow(
      expect.objectContaining({ code: 'DPM_INVALID_OPTION', message: expect.stringContaining('mine') }),
    )
  })

  test('what is given besides plain options is not frozen', () => {
    const inner = { deep: [1] }
    class Own {
      readonly field = inner
    }
    const own = new Own()
    parseOptions(z.strictObject({ own: z.unknown() }), { own }, 'here')
    expect(Object.isFrozen(own)).toBe(false)
    expect(Object.isFrozen(inner)).toBe(false)
  })
})

describe('--classes', () => {
  const known = [
    'tench, Tinca tinca',
    'goldfish, Carassius auratus',
    'Flags',
    '7',
    'none',
    'say "hi"',
    ' spaced ',
    'a',
    'b',
    'a, b',
  ]
  test.each([
    ['Flags,tench, Tinca tinca', ['Flags', 'tench, Tinca tinca']],
    ['tench, Tinca tinca', ['tench, Tinca tinca']],
    ['goldfish, Carassius auratus,tench, Tinca tinca', ['goldfish, Carassius auratus', 'tench, Tinca tinca']],
    ['"tench, Tinca tinca"', ['tench, Tinca tinca']],
    ['"tench, Tinca tinca" , Flags', ['tench, Tinca tinca', 'Flags']],
    ['tench\\, Tinca tinca,0', ['tench, Tinca tinca', 0]],
    ['7,8', ['7', 8]],
    ['"8"', ['8']],
    ['"say \\"hi\\""', ['say "hi"']],
    ['say "hi"', ['say "hi"']],
    ['" spaced "', [' spaced ']],
    ['a, b', ['a', 'b']],
    ['"a, b"', ['a, b']],
    ['a\\, b', ['a, b']],
    ['unknown, name', ['unknown', 'name']],
    ['none', ['none']],
  ])('%s', (text, names) => expect(classesOf(known, text)).toEqual(names))

  test('the flag given again adds to the list', () => {
    const given = moreClasses('"a, b"', moreClasses('Flags', undefined))
    expect(classesOf(known, given)).toEqual(['Flags', 'a, b'])
    expect(classesOf(['x'], ['none'])).toBeUndefined()
    expect(() => classesOf(known, '"tench')).toThrow(/quote.*does not end/)
  })

  test('every list of names that a message shows can be given back', () => {
    const name = fc.string({
      minLength: 1,
      maxLength: 12,
      unit: fc.constantFrom('a', 'b', ' ', ',', '"', '\\', '1', 'é'),
    })
    fc.assert(
      fc.property(fc.uniqueArray(name, { minLength: 1, maxLength: 6 }), (names) => {
        const all = [...names, 'other']
        expect(classesOf(all, nameList(all))).toEqual(all)
      }),
    )
  })

  test('the message for an unknown class shows names that can be told apart', () => {
    expect(() => dealClasses({ classes: known, nullClass: true }, ['tensh, Tinca tinca'], 1)).toThrow(
      /names \("tench, Tinca tinca", "goldfish, Carassius auratus", Flags, 7, none, .*Did you mean "tench, Tinca tinca"\?/,
    )
  })
})

test('~ stands for the home folder also behind an equals sign', () => {
  const given = [
    'node',
    'cli',
    '--out=~/x',
    '--set',
    'data.folder=~/y',
    '--set=data.folder=~/z',
    '--out=~',
    'a=~b/c',
    '~/kept',
    '--out=./~/x',
    '-o=~/q',
    'name=x~/y',
  ]
  expect(withHomeFolder(given, '/home/me')).toEqual([
    'node',
    'cli',
    '--out=/home/me/x',
    '--set',
    'data.folder=/home/me/y',
    '--set=data.folder=/home/me/z',
    '--out=/home/me',
    'a=~b/c',
    '~/kept',
    '--out=./~/x',
    '-o=/home/me/q',
    'name=x~/y',
  ])
})
