/** `dpm-torch sample` into a folder: pictures as they are finished, and a second call that goes on behind them. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { command, makeFolder, start, until, writeTinyRecipe } from './command.js'

const folder = makeFolder()
const at = (...names: string[]): string => join(folder.path, ...names)
const sample = (...args: string[]) => command(['sample', 'run', '--steps', '3', '--chunk', '2', ...args], folder.path)
const pictures = (name: string): string[] =>
  existsSync(at(name)) ? readdirSync(at(name)).filter((one) => one.endsWith('.png')) : []

beforeAll(async () => {
  writeTinyRecipe(folder.path)
  expect(await command(['train', 'tiny.json', '--set', 'budget.steps=1', '--out', 'run'], folder.path)).toMatchObject({
    code: 0,
  })
}, 120_000)
afterAll(() => folder.remove())

test('a stop loses only the batch under way; the same command goes on, to the bytes of a run at once', async () => {
  const args = ['sample', 'run', '--steps', '40', '--sampler', 'ddpm', '--chunk', '2', '--count', '40']
  const running = start([...args, '--out', 'new/many'], folder.path)
  expect(await until(running, () => pictures('new/many').length >= 2)).toBe(true)
  running.child.kill('SIGINT')
  const stopped = await running.end
  expect(stopped.code).toBe(130)
  const left = pictures('new/many')
  expect(left.length).toBeGreaterThanOrEqual(2)
  expect(left.length).toBeLessThan(40)
  expect(stopped.stderr).toContain(`${left.length} of 40 images are in new/many.`)
  expect(readdirSync(at('new/many')).filter((name) => name.endsWith('.part'))).toEqual([])
  const more = await command([...args, '--out', 'new/many', '--json'], folder.path)
  expect(JSON.parse(more.stdout)).toMatchObject({ kept: left.length, count: 40 })
  expect(pictures('new/many')).toHaveLength(40)
  expect(await command([...args, '--first', '1', '--count', '39', '--out', 'once'], folder.path)).toMatchObject({
    code: 0,
  })
  for (const name of pictures('once')) {
    expect(readFileSync(at('once', name)).equals(readFileSync(at('new/many', name)))).toBe(true)
  }
  const other = await command([...args, '--seed', '1', '--out', 'new/many'], folder.path)
  expect(other.stderr).toMatch(/drawn in another way \(seed 0 there, 1 here\)/)
  expect(other.code).toBe(2)
})

test('a grid and an animation in folders that are not there; nothing is left of a refused call', async () => {
  const made = await sample('--count', '3', '--out', 'a/b/grid.png', '--gif', 'c/d.gif')
  expect(made).toMatchObject({ code: 0, stdout: 'a/b/grid.png\nc/d.gif\n' })
  const refused = await sample('--sampler', 'nope', '--out', 'e/f/grid.png')
  expect([refused.code, existsSync(at('e'))]).toEqual([2, false])
})

test.each([
  [['--out', 'grid.bmp'], /a picture \(.*\) or a folder for `--out` but received "grid\.bmp"/, 2],
  [['--out', 'x.png', '--gif', 'x.gif', '--image', 'tiny.json'], /cannot be read as a picture/, 1],
  [['--out', 'a.gif/', '--gif', 'a.gif'], /`--out` and `--gif` both name/, 2],
  [['--out', 'tiny.json/grid.png'], /a part of the path is a file/, 1],
  [['--out', 'run/checkpoints/x.png'], /apart from the files of the model/, 2],
  [['--out', 'x.png', '--count', '3000000'], /fewer images in one picture for `--count`/, 2],
])('%j is refused before anything is drawn', async (args, message, code) => {
  const end = await sample(...args)
  expect(end.stderr).toMatch(message)
  expect(end.stderr).not.toMatch(/step \d+ of/)
  expect(end.code).toBe(code)
  for (const name of ['grid.bmp', 'x.png', 'x.gif', 'a.gif']) expect(existsSync(at(name))).toBe(false)
})
