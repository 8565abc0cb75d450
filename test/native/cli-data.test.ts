/** What commands say of pictures that are corrupt, missing or of another kind. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import sharp from 'sharp'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { command, makeFolder, tinyOptions, writeTinyRecipe } from './command.js'

const folder = makeFolder()
const at = (...names: string[]): string => join(folder.path, ...names)
const run = (...args: string[]) => command(args, folder.path)

beforeAll(() => writeTinyRecipe(folder.path))
afterAll(() => folder.remove())

describe('data that is not as it should be', () => {
  const pictures = { kind: 'image-folder', folder: 'pictures', size: 8, channels: 1 } as const
  const small = { ...tinyOptions('.'), budget: { steps: 2 }, previews: { everySteps: 0 } }

  beforeAll(async () => {
    for (const name of ['a', 'b']) {
      mkdirSync(at('pictures', name), { recursive: true })
      for (let i = 0; i < 4; i++) {
        const background = { r: 20 * i, g: name === 'a' ? 0 : 255, b: 60 }
        await sharp({ create: { width: 12, height: 9, channels: 3, background } })
          .png()
          .toFile(at('pictures', name, `${i}.png`))
      }
    }
    writeFileSync(at('pictures', 'b', 'bad.png'), readFileSync(at('pictures', 'b', '0.png')).subarray(0, 60))
    writeFileSync(at('pictures.json'), JSON.stringify({ ...small, data: pictures }))
    mkdirSync(at('empty'))
  })

  test('a corrupt picture is named; when it may be skipped, the run goes on without it', async () => {
    const end = await run('train', 'pictures.json')
    expect(end).toMatchObject({ code: 1, stdout: '' })
    expect(end.stderr).toMatch(/pictures\/b\/bad\.png.*`corrupt` to "skip".*DPM_DATA_INVALID/s)
    expect(await run('train', 'pictures.json', '--out', 'skipped', '--set', 'data.corrupt=skip')).toMatchObject({
      code: 0,
    })
  })

  test('`data` counts classes and corrupt pictures, and shows the good ones', async () => {
    const end = await run('data', 'image-folder', '--set', 'folder=pictures', '--set', 'size=8', '--json')
    const found = JSON.parse(end.stdout) as { corrupt: { place: string }[] }
    expect(found).toMatchObject({
      length: 9,
      channels: 3,
      height: 8,
      classes: [
        { name: 'a', count: 4 },
        { name: 'b', count: 5 },
      ],
      checked: true,
    })
    expect(found.corrupt.map(({ place }) => place)).toEqual([join('pictures', 'b', 'bad.png')])
    expect(await run('data', 'tiny.json', '--out', 'data.png', '--count', '9')).toMatchObject({ code: 0 })
    expect(await sharp(at('data.png')).metadata()).toMatchObject({ width: 3 * 66 + 2, height: 3 * 66 + 2 })
  })

  test('folders that are empty, missing, or hold another kind of picture', async () => {
    const nothing = await run('train', 'pictures.json', '--set', 'data.folder=empty', '--out', 'never')
    expect(nothing.stderr).toMatch(/no pictures in .*empty.*DPM_DATA_INVALID/)
    const missing = await run('train', 'pictures.json', '--set', 'data.folder=absent', '--out', 'never')
    expect(missing.stderr).toMatch(/no .*absent.*DPM_DATA_MISSING/)
    expect([nothing.code, missing.code, existsSync(at('never'))]).toEqual([1, 1, false])
    const colour = await run(
      'train',
      '--resume',
      '--out',
      'skipped',
      '--set',
      'data.channels=3',
      '--set',
      'budget.steps=4',
    )
    expect(colour).toMatchObject({ code: 1, stdout: '' })
    expect(colour.stderr).toMatch(/trained on images of 1×8×8.*data has 3×8×8.*DPM_DATA_INVALID/)
  })

  test('CIFAR-10 that is not there: what to fetch and where to put it', async () => {
    const end = await run('train', 'ddpm-cifar10')
    expect(end.code).toBe(1)
    expect(end.stderr).toMatch(/cifar-10-binary\.tar\.gz.*DPM_DATA_MISSING/)
    expect(end.stderr).toContain(at('data', 'cifar10'))
  })
})
