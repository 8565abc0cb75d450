import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { dataSchema } from '../../lib/datasets/list.js'
import { scaledAs } from '../../lib/datasets/vectors.js'
import { Vectors } from '../../lib/generation/vectors.js'
import { type DataSet, openDataSet } from '../../lib/index.js'

const folder = mkdtempSync(join(tmpdir(), 'dpm-table-'))
afterAll(() => rmSync(folder, { recursive: true }))

async function open(name: string, text: string, options: Readonly<Record<string, unknown>> = {}): Promise<DataSet> {
  const file = join(folder, name)
  writeFileSync(file, text)
  return openDataSet(dataSchema.parse({ kind: 'table', file, ...options }))
}

const irises = 'length,width,name\n5.1,3.5,setosa\n7,3.2,"versicolor, blue"\n6.4,,virginica\n'

describe('a .csv file', () => {
  test('gives its columns by name, and its classes', async () => {
    const dataSet = await open('a.csv', irises.replace('6.4,,', '6.4,3.2,'), { classColumn: 'name' })
    expect(dataSet).toMatchObject({ length: 3, channels: 2, classes: ['setosa', 'versicolor, blue', 'virginica'] })
    expect(dataSet.columns?.names).toEqual(['length', 'width'])
    const { data, labels } = await Vectors.first(dataSet, 9)
    expect([...data]).toEqual([5.1, 3.5, 7, 3.2, 6.4, 3.2].map((value) => expect.closeTo(value, 6)))
    expect([...(labels ?? [])]).toEqual([0, 1, 2])
  })

  test('without names has numbers for them, and whole-number classes in their order', async () => {
    const dataSet = await open('b.csv', '1;2;10\r\n3;4;9\r\n\r\n5;7;10\r\n', { classColumn: '2', separator: ';' })
    expect(dataSet).toMatchObject({ length: 3, classes: ['9', '10'] })
    expect(dataSet.columns?.names).toEqual(['0', '1'])
    expect(dataSet.columns?.means).toEqual([3, expect.closeTo(13 / 3, 12)])
  })

  test('has a column that is constant in its own unit', async () => {
    const dataSet = await open('c.csv', 'x,y\n0.1,1\n0.1,2\n0.1,3\n')
    expect(dataSet.columns?.deviations[0]).toBe(1)
    expect([...(await Vectors.first(dataSet, 1)).data][0]).toBeCloseTo(0.1, 12)
  })

  test.each([
    ['a cell that is empty', irises, { classColumn: 'name' }, 'in column "width", line 4 of'],
    ['words', irises.replace(',,', ',3,'), {}, 'words can be a `classColumn`'],
    ['a line that is too short', 'x,y\n1,2\n3\n', {}, 'line 3 has 1'],
    ['a name twice', 'x,x\n1,2\n', {}, 'there are two "x"'],
    ['an unknown column', 'x,y\n1,2\n', { columns: ['z'] }, 'Expected a column of'],
    ['no rows', 'x,y\n', {}, 'has no rows'],
    ['an infinite number', 'x,y\n1,Infinity\n', {}, 'Expected a finite number'],
    ['a quote without end', 'x,y\n"1,2\n', {}, 'has no end'],
  ])('is refused for %s', async (_, text, options, message) => {
    await expect(open('bad.csv', text, options)).rejects.toThrow(message)
  })

  test('that is not there is asked for', async () => {
    const missing = openDataSet(dataSchema.parse({ kind: 'table', file: join(folder, 'none.csv') }))
    await expect(missing).rejects.toMatchObject({ code: 'DPM_DATA_MISSING' })
    const other = openDataSet(dataSchema.parse({ kind: 'table', file: 'table.xlsx' }))
    await expect(other).rejects.toThrow('ends in .csv or .npy')
  })
})

test.each(['csv', 'npy'])('vectors written as .%s are read again as they were', async (ending) => {
  const vectors = new Vectors(['0', '1'], Float64Array.of(0.1, -2e10, 1 / 3, 4, 5e-7, 6))
  const file = join(folder, `vectors.${ending}`)
  await vectors.toFile(file)
  const again = await Vectors.first(await openDataSet(dataSchema.parse({ kind: 'table', file })), 3)
  expect(again.length).toBe(3)
  again.data.forEach((value, i) => {
    const spread = i % 2 === 0 ? 0.2 : 1e10
    expect(Math.abs(value - (vectors.data[i] ?? 0)) / spread).toBeLessThan(1e-6)
  })
  if (ending === 'csv') expect(readFileSync(file, 'utf8')).toBe('0.1,-20000000000\n0.3333333333333333,4\n5e-7,6\n')
})

test('a name with a comma is quoted, and another ending refused', async () => {
  const file = join(folder, 'quoted.csv')
  await new Vectors(['a,b', 'c'], Float64Array.of(1, 2)).toFile(file)
  expect(readFileSync(file, 'utf8')).toBe('"a,b",c\n1,2\n')
  await expect(new Vectors(['a'], Float64Array.of(1)).toFile('x.txt')).rejects.toThrow('.csv or .npy')
})

test('other data is seen in the scale that a model was trained on', async () => {
  const trained = await open('train.csv', 'x\n0\n10\n')
  const other = await open('other.csv', 'x\n20\n30\n')
  const seen = new Float32Array(2)
  await scaledAs(other, trained.columns).read([0, 1], seen)
  expect([...seen]).toEqual([3, 5])
  const named = await open('named.csv', 'z\n20\n30\n')
  expect(() => scaledAs(named, trained.columns)).toThrow('The model is of vectors of x')
})
