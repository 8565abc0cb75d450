/** Tables as programs write them: each is read as it was meant, or refused by line with the cure; no row is lost or made up. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import { dataSchema, openDataSet } from '../../lib/datasets/list.js'
import { DpmError } from '../../lib/errors.js'
import { Vectors } from '../../lib/generation/vectors.js'
import { parseOptions } from '../../lib/options/options.js'

const folder = mkdtempSync(join(tmpdir(), 'dpm-dialects-'))
afterAll(() => rmSync(folder, { recursive: true }))

interface Read {
  readonly names: readonly string[] | undefined
  readonly rows: readonly (readonly number[])[]
  readonly classes: readonly string[]
  readonly said: string
}

async function read(text: string | Uint8Array, options: Record<string, unknown> = {}, name = 'a.csv'): Promise<Read> {
  const file = join(folder, name)
  writeFileSync(file, text)
  const dataSet = await openDataSet(parseOptions(dataSchema, { kind: 'table', file, ...options }, 'test'))
  const { data } = await Vectors.first(dataSet, dataSet.length)
  const width = dataSet.channels
  const rows = Array.from({ length: dataSet.length }, (_, i) =>
    [...data.subarray(i * width, (i + 1) * width)].map((value) => Number(value.toPrecision(5))),
  )
  const said = [...(dataSet.reading ?? []), ...(dataSet.remarks ?? [])].join(' ')
  return { names: dataSet.columns?.names, rows, classes: dataSet.classes, said }
}

const two = [
  [1.5, 2],
  [3, -4e-3],
]

describe('line ends, separators and encodings', () => {
  test.each([
    ['LF', 'x,y\n1.5,2\n3,-4e-3\n'],
    ['LF, the last one missing', 'x,y\n1.5,2\n3,-4e-3'],
    ['CRLF', 'x,y\r\n1.5,2\r\n3,-4e-3\r\n'],
    ['CR alone', 'x,y\r1.5,2\r3,-4e-3\r'],
    ['all three', 'x,y\r\n1.5,2\r3,-4e-3\n'],
    ['empty lines', '\n\nx,y\n\n1.5,2\r\n\r\n3,-4e-3\n\n  \n'],
    ['quoted cells', '"x","y"\n"1.5","2"\n 3 , "-4e-3" \n'],
    ['a separator at every end', 'x,y,\n1.5,2,\n3,-4e-3,\n'],
    ['a separator at the end of rows', 'x,y\n1.5,2,\n3,-4e-3,\n'],
    ['a byte order mark', '\ufeffx,y\n1.5,2\n3,-4e-3\n'],
    ['UTF-16, little-endian', Buffer.from('\ufeffx,y\r\n1.5,2\r\n3,-4e-3\r\n', 'utf16le')],
    ['UTF-16, big-endian', Buffer.from('\ufeffx,y\n1.5,2\n3,-4e-3\n', 'utf16le').swap16()],
    ['tabs', 'x\ty\n1.5\t2\n3\t-4e-3\n'],
    ['semicolons', 'x;y\n1.5;2\n3;-4e-3\n'],
    ['decimal commas', 'x;y\n1,5;2\n3;-4e-3\n'],
    ['quoted decimal commas', 'x,y\n"1,5","2,0"\n3,"-0,004"\n'],
    ['pipes', 'x|y\n1.5|2\n3|-4e-3\n'],
    ['runs of spaces', ' x  y\n 1.5 2\n 3   -4e-3 \n'],
    ['names behind a #', '# made by hand\n# x,y\n1.5,2\n3,-4e-3\n'],
    ['names behind a #, with spaces', '# x y\n1.5 2\n3 -4e-3\n'],
  ])('%s', async (_, text) => {
    expect(await read(text)).toMatchObject({ names: ['x', 'y'], rows: two })
  })

  test.each(['tab', '\t', '\\t', 'auto'])('a tab is written as %j', async (separator) => {
    expect(await read('x\ty\n1.5\t2\n3\t-4e-3\n', { separator }, 'a.tsv')).toMatchObject({ rows: two })
  })

  test('what was taken is said', async () => {
    expect((await read('x\ty\n1\t2\n3\t4\n')).said).toMatch(/Line 1 was taken as the names.*separated by tab/)
    expect((await read('1;2\n3;5\n')).said).toMatch(/Line 1 was taken as data.*separated by semicolon/)
    expect((await read('x;y\n1,5;2\n')).said).toMatch(/decimal comma/)
    expect((await read('# a\n# b\n1,2\n3,5\n')).said).toMatch(/2 lines on top/)
  })

  test('separators that there are not are named readably', async () => {
    await expect(read('1,2\n', { separator: ':' })).rejects.toThrow(
      'Expected one of auto, comma, tab, semicolon, pipe, space for `separator` but received ":"',
    )
  })
})

describe('the first line', () => {
  const floats = Array.from({ length: 20 }, (_, i) => `${i / 8},${(i * i) / 7},0.${i}5`).join('\n')

  test.each([
    ['0,1,2', floats],
    ['1,2,3', floats],
    ['2019,2020,2021', floats],
    ['2010,2020,2015', floats],
    ['400.5,500.5,600.5', floats],
    ['0,1', '7,9\n8,3\n2,5\n'],
    ['2019', '0.5\n0.25\n1.5\n'],
    ['0', '0.5\n0.25\n1.5\n'],
    ['1.5,abc', '1,2\n3,4\n5,6\n'],
    ['0,1,kind', '0.5,0.1,red\n0.3,0.2,blue\n'],
  ])('%s is asked about, and read either way', async (first, below) => {
    const text = `${first}\n${below}`
    const width = first.split(',').length
    const options = below.includes('red') || first.includes('abc') ? { classColumn: String(width - 1) } : {}
    await expect(read(text, options)).rejects.toThrow(/^Line 1 of .*Say which: `data.header` yes or no\.$/)
    const names = await read(text, { ...options, header: 'yes' })
    const data = await read(text, { ...options, header: 'no' })
    expect(names.names).toEqual(first.split(',').slice(0, names.names?.length))
    expect(data.rows.length).toBe(names.rows.length + 1)
  })

  test.each([
    ['numbers alone', '1,2\n3,4\n5,6\n', 3],
    ['numbers like the others', '0.5,1\n0.25,3\n1.5,2\n', 3],
    ['equal numbers', '0,0\n1,1\n2,2\n3,3\n', 4],
    ['one row', '1,2\n', 1],
    ['a time that rises', '1,100\n2,101.5\n3,99\n4,98\n', 4],
  ])('%s is data', async (_, text, count) => {
    expect((await read(text)).rows.length).toBe(count)
  })

  test('of the classes of others is a row, as in tables that are published without names', async () => {
    const iris = '5.1,3.5,setosa\n4.9,3.0,setosa\n7.0,3.2,versicolor\n'
    expect(await read(iris, { classColumn: 2 })).toMatchObject({ classes: ['setosa', 'versicolor'], names: ['0', '1'] })
    expect((await read(iris, { classColumn: '2' })).rows.length).toBe(3)
  })

  test('with a missing number is a row that is refused', async () => {
    await expect(read('nan,1.5\n2.5,3.5\n')).rejects.toThrow('column "0", line 1')
    await expect(read('1.5,\n2.5,3.5\n')).rejects.toThrow('column "1", line 1')
  })

  test('without a name above a count of the rows is of pandas', async () => {
    for (const first of ['', 'Unnamed: 0']) {
      const { names, rows, said } = await read(`${first},a,b\n0,1.5,2\n1,3,4\n7,5,7\n`)
      expect([names, rows.length]).toEqual([['a', 'b'], 3])
      expect(said).toMatch(/no name and counts the rows, was left out/)
    }
    expect((await read(',0,1\n0,1.5,2\n1,3,4\n')).names).toEqual(['0', '1'])
    expect((await read(',a\n0,1.5\n1,3\n', { columns: ['Unnamed: 0', 'a'] })).names).toEqual(['Unnamed: 0', 'a'])
    await expect(read('a,\n1,2\n3,4\n')).rejects.toThrow('Column 1 of')
    await expect(read(',a\n0.5,1\n0.25,3\n')).rejects.toThrow('has no name in the line of names')
  })
})

describe('columns', () => {
  test('go by name before number, as text or number', async () => {
    const text = '1,0,b\n0.5,7,2\n0.25,8,3\n'
    expect((await read(text, { header: 'yes', columns: ['1'] })).rows).toEqual([[0.5], [0.25]])
    expect((await read(text, { header: 'yes', columns: 2 })).names).toEqual(['b'])
    expect((await read(text, { header: 'yes', columns: ['b', 0] })).names).toEqual(['b', '0'])
    await expect(read(text, { header: 'yes', columns: ['b', 'b'] })).rejects.toThrow('twice')
    await expect(read(text, { header: 'yes', columns: [7] })).rejects.toThrow('(1, 0, b, or a number from 0 to 2)')
  })
})

describe('classes', () => {
  test.each([
    ['a blank one', 'x,label\n1,a\n2,\n3,b\n', 'There is no class in column "label", line 3'],
    ['blanks alone', 'x,label\n1,a\n2,"  "\n3,b\n', 'There is no class in column "label", line 3'],
    ['nan', 'x,label\n1,a\n2,nan\n', 'line 3 of'],
    ['NA among numbers', 'x,label\n1,0\n2,NA\n3,1\n', '"NA", which stands for a missing one'],
    ['one number in two ways', 'x,label\n1,1\n2,2\n3,1.0\n', '"1" in line 2 and "1.0" in line 4'],
  ])('%s is refused by line', async (_, text, message) => {
    await expect(read(text, { classColumn: 'label' })).rejects.toThrow(message)
  })

  test('are as they are written, without the blanks around them', async () => {
    const { classes } = await read('x,label\n1, b \n2,None\n3,b\n', { classColumn: 'label' })
    expect(classes).toEqual(['None', 'b'])
    expect((await read('x,label\n1,2.0\n2,10.0\n', { classColumn: 'label' })).classes).toEqual(['2.0', '10.0'])
  })
})

describe('is refused, and told why:', () => {
  test.each([
    ['thousands', 'x;y\n1,234;5,678\n', /column "x", line 2.*write thousands without one, or say `data.decimal`/],
    ['decimals in two ways', 'x;y\n1,5;2.5\n', /line 2.*decimal comma/],
    ['a hexadecimal number', 'x\n1\n0x10\n', /line 3.*not decimal/],
    ['a number beyond 64 bits', 'x\n1\n1e999\n', /line 3.*beyond what 64 bits hold/],
    ['inf', 'x\n1\n-inf\n', /line 3.*not finite/],
    ['null', 'x,y\n1,2\n3,null\n', /column "y", line 3.*a missing number/],
    ['an empty quoted cell', 'x\n1\n""\n3\n', /line 3.*no number/],
    ['a row of another length', 'x,y\n1,2\n3,4,5\n', /line 3 has 3. Is the `data.separator` another/],
    ['text after a quote', 'x,y\n"5"6,1\n', /Line 2 of .*after the quote/],
    ['a name twice', 'x, x\n1,2\n', /line 1.*two "x"/],
    ['tabs read as commas', 'x\ty\n1\t2\n', /say `data.separator` tab/, { separator: ',' }],
    ['semicolons read as commas', 'x;y\n1;2\n', /say `data.separator` semicolon/, { separator: 'comma' }],
    ['Latin-1', Buffer.from('x,größe\n1,2\n', 'latin1'), /Line 1 of .*not UTF-8.*iconv/],
    ['Latin-1 further on', Buffer.from('x,y\n1,2\n3,ö\n', 'latin1'), /Line 3 of .*not UTF-8/],
    ['a byte of 0', 'x,y\n1,2\n3,\0\n', /Line 3 of .*byte of 0/],
    ['gzip', gzipSync('x,y\n1,2\n'), /is compressed by gzip/],
    ['a workbook', Buffer.from('PK\x03\x04 and so on'), /zip archive \(\.xlsx/],
    ['Parquet', Buffer.from('PAR1\x15\x04'), /Parquet/],
    ['JSON', '[{"x": 1}]', /is JSON/],
    ['rows of JSON', '[[1, 2],\n[3, 4]]', /is JSON/],
    ['a web page', '<!DOCTYPE html><html>', /web page/],
    ['a pointer', 'version https://git-lfs.github.com/spec/v1\noid', /git lfs pull/],
    ['nothing', '', /has no rows/],
  ] as readonly [string, string | Uint8Array, RegExp, Record<string, unknown>?][])(
    '%s',
    async (_, text, message, options = {}) => {
      const refused = read(text, options)
      await expect(refused).rejects.toBeInstanceOf(DpmError)
      await expect(refused).rejects.toThrow(message)
    },
  )
})

test('any table of finite numbers is read as it was written, in every dialect', async () => {
  const writer = fc.record({
    separator: fc.constantFrom(',', ';', '\t', '|', ' '),
    lineEnd: fc.constantFrom('\n', '\r\n', '\r'),
    named: fc.boolean(),
    quoted: fc.boolean(),
    comma: fc.boolean(),
    mark: fc.boolean(),
    ends: fc.boolean(),
  })
  const tables = fc.integer({ min: 1, max: 4 }).chain((width) =>
    fc.array(
      fc.array(
        fc.double({ noNaN: true, noDefaultInfinity: true, min: -1e30, max: 1e30 }).map((value) => value + 0),
        { minLength: width, maxLength: width },
      ),
      { minLength: 1, maxLength: 8 },
    ),
  )
  await fc.assert(
    fc.asyncProperty(tables, writer, async (rows, { separator, lineEnd, named, quoted, comma, mark, ends }) => {
      const decimal = comma && separator !== ',' ? 'comma' : 'point'
      const cell = (value: number): string => {
        const text = decimal === 'comma' ? String(value).replace('.', ',') : String(value)
        return quoted ? `"${text}"` : text
      }
      const header = named ? [(rows[0] ?? []).map((_, i) => `c${i}`).join(separator)] : []
      const lines = [...header, ...rows.map((row) => row.map(cell).join(separator))]
      const text = `${mark ? '\ufeff' : ''}${lines.join(lineEnd)}${ends ? lineEnd : ''}`
      const file = join(folder, 'property.csv')
      writeFileSync(file, text)
      const options = { header: named ? 'yes' : 'no', separator, decimal }
      const dataSet = await openDataSet(parseOptions(dataSchema, { kind: 'table', file, ...options }, 'test'))
      expect(dataSet.length).toBe(rows.length)
      const { means = [], deviations = [] } = dataSet.columns ?? {}
      const into = new Float32Array(rows.length * dataSet.channels)
      await dataSet.read([...rows.keys()], into)
      const expected = rows.flatMap((row) =>
        row.map((value, i) => Math.fround((value - (means[i] ?? 0)) / (deviations[i] ?? 1))),
      )
      expect([...into]).toEqual(expected)
    }),
    { numRuns: 200 },
  )
})
