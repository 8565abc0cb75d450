/** What was drawn is kept where it was drawn in the same way, and never replaced unasked. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { recordOf } from '../../lib/generation/drawing-record.js'
import { RowStore } from '../../lib/generation/row-store.js'
import { SampleFolder } from '../../lib/generation/sample-folder.js'
import { Images } from '../../lib/images/image-batch.js'
import { readInto } from '../../lib/images/read-images.js'

const root = mkdtempSync(join(tmpdir(), 'sample-folder-'))
afterAll(() => rmSync(root, { recursive: true }))
let folder = ''
let number = 0
beforeEach(() => {
  folder = join(root, String(number++))
  mkdirSync(folder)
  writeFileSync(join(root, 'model'), 'weights')
})

const images = (count: number): Images =>
  new Images(
    Uint8Array.from({ length: count * 12 }, (_, i) => (i * 37) % 256),
    [count, 3, 2, 2],
  )
const record = (settings: object = {}) => recordOf({ model: join(root, 'model') }, { seed: 0, ...settings })
const pictures = (): string[] => readdirSync(folder).filter((name) => name.endsWith('.png'))

describe('a folder', () => {
  test('is left as it is until the first pictures are written; these are kept, and read again to the bit', async () => {
    const first = await SampleFolder.open(folder, await record(), { first: 0, count: 4 })
    expect(readdirSync(folder)).toEqual([])
    const some = images(3)
    await first.write(some, [0, 2, 9_999_999])
    expect(readdirSync(folder).sort()).toEqual(['000000.png', '000002.png', '9999999.png', 'samples.json'])
    const second = await SampleFolder.open(folder, await record(), { first: 1, count: 4 })
    expect([...second.kept]).toEqual([2])
    const bytes = new Uint8Array(24)
    await readInto(second.pathOf(2), [3, 2, 2], bytes, 12)
    expect(bytes.slice(12)).toEqual(some.at(1).data)
  })

  test.each([
    ['another seed', { seed: 1 }, /seed 0 there, 1 here/],
    ['a setting more', { strength: 0.5 }, /strength absent there, 0\.5 here/],
    ['another sampler', { sampler: { kind: 'ddpm' } }, /sampler\.kind absent there, "ddpm" here/],
  ])('of %s is refused, by what differs', async (_, settings, message) => {
    await (await SampleFolder.open(folder, await record(), { first: 0, count: 1 })).write(images(1), [0])
    await expect(SampleFolder.open(folder, await record(settings), { first: 5, count: 1 })).rejects.toMatchObject({
      code: 'DPM_INVALID_OPTION',
      message: expect.stringMatching(message),
    })
    expect(pictures()).toEqual(['000000.png'])
  })

  test('of a model of another content is refused; of the same under another name it is not', async () => {
    await (await SampleFolder.open(folder, await record(), { first: 0, count: 1 })).write(images(1), [0])
    writeFileSync(join(root, 'copy'), 'weights')
    const copy = await recordOf({ model: join(root, 'copy') }, { seed: 0 })
    expect((await SampleFolder.open(folder, copy, { first: 0, count: 1 })).kept.size).toBe(1)
    writeFileSync(join(root, 'model'), 'weightz')
    await expect(SampleFolder.open(folder, await record(), { first: 0, count: 1 })).rejects.toThrow(/another model/)
  })

  test('with pictures in the way that nobody knows is refused; those beside are no trouble', async () => {
    writeFileSync(join(folder, '000007.png'), '')
    writeFileSync(join(folder, 'cat.png'), '')
    await SampleFolder.open(folder, await record(), { first: 0, count: 7 })
    for (const overwrite of [false, undefined]) {
      const options = { first: 0, count: 8, overwrite }
      await expect(SampleFolder.open(folder, await record(), options)).rejects.toThrow(
        /000007\.png, and no samples\.json/,
      )
    }
    writeFileSync(join(folder, 'samples.json'), '{ no')
    await expect(SampleFolder.open(folder, await record(), { first: 0, count: 1 })).rejects.toThrow(/cannot be read/)
    expect(pictures()).toHaveLength(2)
  })

  test('is drawn anew when told: what this program drew goes, nothing else', async () => {
    writeFileSync(join(folder, 'cat.png'), '')
    await (await SampleFolder.open(folder, await record(), { first: 0, count: 3 })).write(images(3), [0, 1, 2])
    const anew = await SampleFolder.open(folder, await record({ seed: 1 }), { first: 0, count: 1, overwrite: true })
    expect([anew.kept.size, pictures()]).toEqual([0, ['cat.png']])
    await anew.write(images(1), [0])
    expect(JSON.parse(readFileSync(join(folder, 'samples.json'), 'utf8'))).toMatchObject({ settings: { seed: 1 } })
  })

  test('is not drawn anew over pictures of which some would stay', async () => {
    for (const name of ['000000.png', '000005.png']) writeFileSync(join(folder, name), '')
    const options = { first: 0, count: 2, overwrite: true }
    await expect(SampleFolder.open(folder, await record(), options)).rejects.toThrow(/such as 000005\.png/)
    expect(pictures()).toHaveLength(2)
  })
})

describe('rows of a table', () => {
  const path = (): string => join(folder, 'points.csv.partial')

  test('are there for the next call; a row that was cut short is not', async () => {
    {
      await using store = await RowStore.open(path(), await record(), 2)
      await store.append(Float64Array.of(1, 2, 3, 4))
      await store.append(Float64Array.of(5, 6))
      expect(store.rows).toBe(3)
    }
    truncateSync(path(), readFileSync(path()).length - 3)
    await using again = await RowStore.open(path(), await record(), 2)
    expect(again.rows).toBe(2)
    await again.append(Float64Array.of(7, 8))
    const values = new Float64Array(8)
    await again.readInto(values)
    expect([...values]).toEqual([1, 2, 3, 4, 7, 8, 0, 0])
    await again.remove()
    expect(readdirSync(folder)).toEqual([])
  })

  test('drawn in another way, or something else, are refused; drawn anew when told', async () => {
    {
      await using store = await RowStore.open(path(), await record(), 2)
      await store.append(Float64Array.of(1, 2))
    }
    await expect(RowStore.open(path(), await record({ seed: 3 }), 2)).rejects.toThrow(/seed 0 there, 3 here/)
    {
      await using store = await RowStore.open(path(), await record({ seed: 3 }), 2, true)
      expect(store.rows).toBe(0)
    }
    writeFileSync(path(), 'x,y\n1,2\n')
    await expect(RowStore.open(path(), await record(), 2)).rejects.toThrow(/something else than rows/)
    expect(readFileSync(path(), 'utf8')).toBe('x,y\n1,2\n')
  })
})
