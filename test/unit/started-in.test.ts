/** Relative paths of a run's data, from whatever folder it goes on, wherever it was moved. */
import { mkdir, mkdtemp, realpath, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type DataSettings, dataSchema, datasets } from '../../lib/datasets/list.js'
import { pathKeys } from '../../lib/options/path-option.js'
import { startedHere, startedInOf, withChangedPathsWhole, withWholePaths } from '../../lib/training/started-in.js'

const home = process.cwd()
let root: string
beforeEach(async () => {
  root = await realpath(await mkdtemp(join(tmpdir(), 'dpm-started-')))
  for (const folder of ['project/data', 'project/runs/a', 'elsewhere'])
    await mkdir(join(root, folder), { recursive: true })
  process.chdir(join(root, 'project'))
})
afterEach(async () => {
  process.chdir(home)
  await rm(root, { recursive: true })
})

const folderOf = (data: DataSettings): unknown => (data as { readonly folder?: unknown }).folder
const data = (folder: string): DataSettings => dataSchema.parse({ kind: 'image-folder', folder })

test('every data set that reads files says which of its options are paths', () => {
  const keys = Object.fromEntries(Object.entries(datasets).map(([name, { schema }]) => [name, pathKeys(schema)]))
  expect(keys).toEqual({
    emoji: ['folder'],
    sprites: ['images', 'labels'],
    idx: ['folder', 'images', 'labels'],
    cifar10: ['path'],
    'image-folder': ['folder'],
    points: [],
    table: ['file'],
  })
})

describe('a relative path counts', () => {
  test('from where the run was started, in whatever folder it goes on', async () => {
    const startedIn = startedHere('runs/a')
    expect(startedIn).toEqual({ folder: join(root, 'project'), fromRun: join('..', '..') })
    process.chdir(join(root, 'elsewhere'))
    await mkdir('data')
    const run = join(root, 'project', 'runs', 'a')
    for (const place of [{ startedIn, run }, { startedIn }]) {
      expect(folderOf(await withWholePaths(data('data'), place))).toBe(join(root, 'project', 'data'))
    }
  })

  test('from where that lies now, when all was moved together', async () => {
    const startedIn = startedHere('runs/a')
    process.chdir(root)
    await rename('project', 'moved')
    const run = join('moved', 'runs', 'a')
    expect(folderOf(await withWholePaths(data('data'), { startedIn, run }))).toBe(join(root, 'moved', 'data'))
  })

  test('from the folder where it was started, when the run alone was moved', async () => {
    const startedIn = startedHere('runs/a')
    await rename('runs/a', '../elsewhere/a')
    process.chdir(join(root, 'elsewhere'))
    expect(folderOf(await withWholePaths(data('data'), { startedIn, run: 'a' }))).toBe(join(root, 'project', 'data'))
  })

  test('from the current folder last, and a warning says so', async () => {
    const startedIn = startedHere('runs/a')
    await rename('data', '../elsewhere/data')
    process.chdir(join(root, 'elsewhere'))
    const warnings: string[] = []
    const whole = await withWholePaths(data('data'), { startedIn, run: '../project/runs/a' }, (text) =>
      warnings.push(text),
    )
    expect(folderOf(whole)).toBe(join(root, 'elsewhere', 'data'))
    expect(warnings).toEqual([
      expect.stringMatching(/`data\.folder` is taken from .*elsewhere.data: there is no .*project.data/),
    ])
    await rename('data', 'gone')
    // The error that follows then names the place where it was.
    expect(folderOf(await withWholePaths(data('data'), { startedIn }))).toBe(join(root, 'project', 'data'))
  })

  test('from the current folder in a run of 0.1.0, which does not know; absolute ones are left alone', async () => {
    expect(await withWholePaths(data('data'), { startedIn: null })).toEqual(data('data'))
    expect(await withWholePaths(data('/x'), { startedIn: startedHere('runs/a') })).toEqual(data('/x'))
  })
})

test('a path that is given when the run goes on counts from the folder of that moment', () => {
  process.chdir(join(root, 'elsewhere'))
  expect(folderOf(withChangedPathsWhole(data('data'), data('other')))).toBe(join(root, 'elsewhere', 'other'))
  expect(folderOf(withChangedPathsWhole(data('data'), data('data')))).toBe('data')
})

test('a checkpoint in a run folder knows where its run was started', async () => {
  const startedIn = startedHere('runs/a')
  await writeFile('runs/a/config.json', JSON.stringify({ startedIn }))
  for (const path of ['runs/a', 'runs/a/checkpoints', 'runs/a/checkpoints/step-00000001.safetensors'])
    expect((await startedInOf(path)).startedIn).toEqual(startedIn)
  await writeFile('runs/a/config.json', '{')
  expect(await startedInOf('runs/a')).toEqual({ startedIn: null })
  expect(await startedInOf('data')).toEqual({ startedIn: null })
})
