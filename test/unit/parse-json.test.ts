import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { DpmError } from '../../lib/errors.js'
import { maximumJsonDepth, parseJson } from '../../lib/files/parse-json.js'
import { readJson, readJsonSync } from '../../lib/files/read-json.js'

const parse = (text: string): unknown => parseJson(text, { name: 'The text' })

function messageOf(text: string): string {
  try {
    parse(text)
  } catch (error) {
    if (error instanceof DpmError && error.code === 'DPM_FILE_INVALID') return error.message
    throw error
  }
  throw new Error(`${text.slice(0, 40)} was read`)
}

test('what JSON.stringify writes is read as JSON.parse reads it', () => {
  fc.assert(
    fc.property(fc.json({ noUnicodeString: false }), fc.constantFrom(undefined, 2, '\t'), (text, space) => {
      const spaced = JSON.stringify(JSON.parse(text), null, space)
      if (text.includes('"__proto__"')) return
      expect(parse(spaced)).toEqual(JSON.parse(spaced))
    }),
    { numRuns: 100 },
  )
})

test('a text is read exactly where JSON.parse reads it, whatever was done to it', () => {
  const seed = '{"a": [1, -2.5e+3, 0.1], "b": {"c": "x\\n\\u00e9\\"", "d": null}, "e": [true, false, {}], "f": []}'
  fc.assert(
    fc.property(
      fc.nat(seed.length - 1),
      fc.nat(3),
      fc.constantFrom('', ...'{}[]",:0-.eE+\\ \n\ttnuf/'.split(''), '\u0001', '\ufeff', 'null', '""'),
      (at, removed, inserted) => {
        const text = seed.slice(0, at) + inserted + seed.slice(at + removed)
        let right: unknown
        try {
          right = JSON.parse(text)
        } catch {
          right = undefined
        }
        if (right === undefined && !text.startsWith('\ufeff'))
          expect(messageOf(text)).toMatch(/^The text cannot be read as JSON/)
        else if (right !== undefined && !/twice/.test(attempt(text))) expect(parse(text)).toEqual(right)
      },
    ),
    { numRuns: 1000 },
  )
})

function attempt(text: string): string {
  try {
    parse(text)
    return ''
  } catch (error) {
    return (error as Error).message
  }
}

test('an error names line and column, and what people mean by it', () => {
  expect(messageOf('{\n  "seed": 1,\n  "name": x\n}')).toMatch(
    /it has "x" where a value is expected, in line 3, column 11\./,
  )
  expect(messageOf('{"a": 1,}')).toMatch(
    /"}" where a name in double quotes is expected \(is there a comma too many\?\), in line 1, column 9/,
  )
  expect(messageOf('{"a": [1 2]}')).toMatch(/"2" where "," or "\]" is expected, in line 1, column 10/)
  expect(messageOf("{'a': 1}")).toMatch(/double quotes only/)
  expect(messageOf('// hello\n{}')).toMatch(/no comments/)
  expect(messageOf('{"a": NaN}')).toMatch(/finite numbers only/)
  expect(messageOf('[-Infinity]')).toMatch(/finite numbers only/)
  expect(messageOf('{"a": True}')).toMatch(/true, false and null/)
  expect(messageOf('{"a": 01}')).toMatch(/"01" where a value/)
  expect(messageOf('{"a": 1')).toMatch(/ends where "," or "}" is expected, in line 1, column 8/)
  expect(messageOf('{"a": "b')).toMatch(/without its closing quote, in line 1, column 7/)
  expect(messageOf('"a\nb"')).toMatch(/line break or control character in a string/)
  expect(messageOf('"\\x41"')).toMatch(/escape in a string/)
  expect(messageOf('')).toMatch(/is empty/)
  expect(messageOf(' \n')).toMatch(/is empty/)
  expect(messageOf('{} {}')).toMatch(/"{" where the end is expected, in line 1, column 4/)
  expect(messageOf(Buffer.from('\ufeff{"a": 1}', 'utf16le').toString('utf8'))).toMatch(/UTF-16/)
  expect(messageOf(Buffer.from('{"a": 1}', 'utf16le').toString('utf8'))).toMatch(/UTF-16/)
})

test('a byte order mark is passed over', () => {
  expect(parse('\ufeff{"a": 1}')).toEqual({ a: 1 })
  expect(messageOf('\ufeff{"a" 1}')).toMatch(/in line 1, column 6/)
})

test('a name twice loses one of two values, and __proto__ is no name', () => {
  expect(messageOf('{"seed": 1,\n "seed": 2}')).toMatch(/the name "seed" twice, in line 2, column 2/)
  expect(messageOf('{"a": {"__proto__": {"x": 1}}}')).toMatch(/"__proto__", which is refused/)
  expect(messageOf('{"\\u005f_proto__": 1}')).toMatch(/"__proto__"/)
  expect(Object.keys(parse('{"constructor": 1, "toString": 2, "hasOwnProperty": 3}') as object)).toHaveLength(3)
})

test.each([65, 2_000, 200_000])('%i lists or objects inside one another are refused, wherever they close', (depth) => {
  for (const [open, close] of [
    ['[', ']'],
    ['{"a":', '}'],
    ['[{"a":', '}]'],
  ] as const) {
    expect(messageOf(open.repeat(depth) + 1 + close.repeat(depth))).toMatch(/more than 64 lists and objects/)
    expect(messageOf(open.repeat(depth))).toMatch(/more than 64 lists and objects/)
  }
})

test('nesting up to the bound is read', () => {
  const text = '['.repeat(maximumJsonDepth) + ']'.repeat(maximumJsonDepth)
  expect(parse(text)).toEqual(JSON.parse(text))
})

test('time grows with the length alone', () => {
  const begin = performance.now()
  for (const part of ['"\\', '[', '{"a":[', '"', '\\"', '1,', '/*', ' ']) {
    for (const start of ['', '[', '"']) attempt(start + part.repeat(100_000))
  }
  expect(performance.now() - begin).toBeLessThan(2_000)
})

test('files: missing, a folder, too long, a device without end, an error that names the file', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'dpm-json-'))
  const write = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text)
    return join(folder, name)
  }
  const source = { what: 'recipe', maximumLength: 1000 }
  const cases = [
    [join(folder, 'none.json'), 'DPM_FILE_MISSING', /no recipe at .*none\.json/],
    [folder, 'DPM_FILE_INVALID', /it is a folder/],
    [write('long.json', `[${' '.repeat(5000)}]`), 'DPM_FILE_INVALID', /too many/],
    [write('longer.json', `[${' '.repeat(1500)}]`), 'DPM_FILE_INVALID', /1502 characters/],
    ['/dev/zero', 'DPM_FILE_INVALID', /no file, but a device/],
    [
      write('broken.json', '{"a": }'),
      'DPM_FILE_INVALID',
      /The recipe ".*broken\.json" cannot be read as JSON.*column 7/,
    ],
  ] as const
  for (const [path, code, message] of cases) {
    const told = expect.objectContaining({ code, message: expect.stringMatching(message) })
    await expect(readJson(path, source)).rejects.toEqual(told)
    expect(() => readJsonSync(path, source)).toThrow(told)
  }
  expect(readJsonSync(write('good.json', '\ufeff{"a": [1]}'), source)).toEqual({ a: [1] })
})
