/** `dpm-torch sample` with pictures: to begin from, to keep in part; and with other models and other samplers. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import sharp from 'sharp'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { command, makeFolder, writeIdx, writeTinyRecipe } from './command.js'

const folder = makeFolder()
const at = (...names: string[]): string => join(folder.path, ...names)
const run = (...args: string[]) => command(args, folder.path)

beforeAll(async () => {
  writeIdx(folder.path)
  writeTinyRecipe(folder.path)
  const trained = await run('train', 'tiny.json', '--out', 'runs/tiny')
  expect(trained).toMatchObject({ code: 0 })
  const square = { width: 8, height: 8, channels: 1 } as const
  const raw = (value: (x: number) => number) =>
    sharp(Buffer.from(Uint8Array.from({ length: 64 }, (_, i) => value(i % 8))), { raw: square }).png()
  await raw((x) => x * 30).toFile(at('ramp.png'))
  await raw((x) => (x < 4 ? 255 : 0)).toFile(at('mask.png'))
}, 120_000)
afterAll(() => folder.remove())

describe('sample', () => {
  test('keeps a picture where the mask is black', async () => {
    const end = await run(
      'sample',
      'runs/tiny',
      '--known',
      'ramp.png',
      '--mask',
      'mask.png',
      '--steps',
      '5',
      '--count',
      '2',
      '--out',
      'kept',
      '--files',
    )
    expect(end).toMatchObject({ code: 0 })
    const { data, info } = await sharp(at('kept', '000001.png'))
      .extractChannel(0)
      .raw()
      .toBuffer({ resolveWithObject: true })
    expect(info).toMatchObject({ width: 8, height: 8 })
    for (let x = 4; x < 8; x++) expect(data[x]).toBe(x * 30)
  })

  test.each([
    ['heun, Karras spacing', ['--sampler', 'heun', '--spacing', 'karras', '--steps', '4']],
    ['dpm++2m', ['--sampler', 'dpm++2m', '--steps', '4']],
    ['from a picture', ['--image', 'ramp.png', '--strength', '0.5', '--steps', '6']],
    ['between two noises', ['--between', '3,7', '--count', '3', '--steps', '4']],
    ['away from a weaker model', ['--weaker', 'runs/tiny', '--guidance', '2', '--steps', '4']],
    [
      'RePaint',
      [
        '--known',
        'ramp.png',
        '--mask',
        'mask.png',
        '--sampler',
        'repaint',
        '--set',
        'jumps=2',
        '--set',
        'jumpLength=2',
        '--steps',
        '6',
      ],
    ],
    ['clean images on the way', ['--gif', 'clean.gif', '--clean', '--steps', '4']],
  ])('%s', async (_, flags) => {
    const end = await run('sample', 'runs/tiny', ...flags, '--count', '3', '--out', 'one.png')
    expect(end).toMatchObject({ code: 0, stderr: expect.not.stringMatching(/error/) })
    expect(existsSync(at('one.png'))).toBe(true)
  })

  test('draws as the model names it, whatever its previews are drawn with', async () => {
    const settings = ['--set', 'sampling.sampler=euler-ancestral', '--set', 'budget.steps=1', '--out', 'runs/named']
    expect(await run('train', 'tiny.json', ...settings)).toMatchObject({ code: 0 })
    const drawn = (...flags: string[]) => run('sample', 'runs/named', '--count', '1', '--out', 'named.png', ...flags)
    expect((await drawn('--steps', '3')).stderr).toContain('euler-ancestral in 3 steps')
    expect((await drawn('--sampler', 'ddim', '--steps', '2')).stderr).toContain('ddim in 2 steps')
  })

  test.each([
    [['--known', 'ramp.png'], /--known and --mask belong together/, 2],
    [['--image', 'ramp.png', '--strength', '1.5'], /above 0, at most 1/, 2],
    [['--image', 'nowhere.png'], /There is no file/, 1],
    [['--image', 'tiny.json'], /cannot be read as a picture/, 1],
    [['--between', '3'], /two whole numbers, such as 3,7/, 2],
    [['--between', '3,7', '--image', 'ramp.png'], /both say where x begins/, 2],
    [['--sampler', 'ddim-inversion'], /give the image as `initial`/, 2],
    [['--guidance', '2', '--guidance-low', '3', '--guidance-high', '1'], /above `low` \(3\)/, 2],
  ])('%j is refused', async (flags, message, code) => {
    const end = await run('sample', 'runs/tiny', ...flags)
    expect(end.stderr).toMatch(message)
    expect(end.code).toBe(code)
  })
})
