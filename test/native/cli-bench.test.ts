/** `dpm-torch bench`: what it prints, writes and returns, of a tiny recipe and of its run. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import sharp from 'sharp'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Benchmark } from '../../lib/benchmark/benchmark.js'
import { benchmark } from '../../lib/benchmark/benchmark.js'
import { loadBinding } from '../../lib/native/load.js'
import { command, makeFolder, start, tinyOptions, until, writeTinyRecipe } from './command.js'
import { expectNoHandles } from './handles.js'

const folder = makeFolder()
const at = (...names: string[]): string => join(folder.path, ...names)
const run = (...args: string[]) => command(['bench', ...args], folder.path)

beforeAll(() => writeTinyRecipe(folder.path))
afterAll(() => folder.remove())

describe('a recipe', () => {
  test('is measured without its data, on images of the published size; nothing is written', async () => {
    const before = readdirSync(folder.path)
    const { code, stdout } = await run('tiny.json', '--batch', '2', '--steps', '2', '--json')
    expect(code).toBe(0)
    const result = JSON.parse(stdout) as Benchmark
    expect(result).toMatchObject({
      name: 'tiny',
      network: 'unet',
      image: { channels: 1, height: 28, width: 28 },
      batch: 2,
      precision: 'float32',
      machine: { device: 'cpu', threads: 1 },
    })
    for (const measured of [result.training, result.evaluation]) {
      expect(measured?.seconds).toHaveLength(2)
      expect(measured?.flopsPerSecond).toBeGreaterThan(0)
      expect(measured?.peakBytes).toBeGreaterThan(4 * 2 * 28 * 28)
      expect(measured).not.toHaveProperty('profile')
    }
    // Forward, and back by weights and by what came before: nearly three times the operations.
    const flops = (measured: Benchmark['training']): number => (measured?.flopsPerSecond ?? 0) * (measured?.median ?? 0)
    expect(flops(result.training) / flops(result.evaluation)).toBeGreaterThan(2.5)
    expect(flops(result.training) / flops(result.evaluation)).toBeLessThan(3.5)
    expect(readdirSync(folder.path)).toEqual(before)
  })

  test('with --profile has a table, a picture and a file of every operation', async () => {
    const { code, stdout } = await run('tiny.json', '--steps', '1', '--profile', '--out', 'here')
    expect(code).toBe(0)
    expect(stdout).toMatch(/^aten::mkldnn_convolution +forward/m)
    expect(stdout).toMatch(/^aten::convolution_backward +backward/m)
    expect(stdout).toMatch(/^between operations/m)
    expect(readdirSync(at('here')).sort()).toEqual(['bench.json', 'profile.png', 'profile.svg'])
    const { format } = await sharp(at('here', 'profile.png')).metadata()
    expect(format).toBe('png')
    const { training, evaluation } = JSON.parse(readFileSync(at('here', 'bench.json'), 'utf8')) as Benchmark
    const names = (measured: Benchmark['training']): string[] =>
      (measured?.profile.operations ?? []).map(({ name, phase }) => `${phase} ${name}`)
    expect(names(training)).toEqual(expect.arrayContaining(['update dpm::optimizer', 'forward dpm::noise_step']))
    expect(names(evaluation).every((name) => name.startsWith('forward '))).toBe(true)
    const total = training?.profile.operations.reduce((sum, { share }) => sum + share, 0) ?? 0
    expect(total).toBeGreaterThan(0.3)
    expect(total).toBeLessThanOrEqual(1)
  })
})

test('a run is measured on images of its own size, and --evaluate leaves training out', async () => {
  const trained = await command(
    ['train', 'tiny.json', '--set', 'budget.steps=1', '--set', 'previews.everySteps=0'],
    folder.path,
  )
  expect(trained.code).toBe(0)
  const { code, stdout } = await run('runs/tiny', '--evaluate', '--steps', '1', '--json')
  expect(code).toBe(0)
  expect(JSON.parse(stdout)).toMatchObject({ image: { channels: 1, height: 8, width: 8 }, training: null, batch: 8 })
})

test.each([
  ['a run that is not there', ['runs/nothing'], 1, /There is no run in ".*runs\/nothing"/],
  ['a folder that is a file', ['tiny.json', '--profile', '--out', 'tiny.json'], 1, /tiny\.json/],
  ['a device that is not there', ['tiny.json', '--device', 'cuda'], 1, /no CUDA device/],
])('%s is one message', async (_, args, code, message) => {
  const end = await run(...args)
  expect(end.code).toBe(code)
  expect(end.stderr).toMatch(message)
  expect(end.stderr.trim().split('\n')).toHaveLength(1)
})

test('Ctrl-C ends it at once, with nothing written', async () => {
  writeFileSync(at('slow.json'), JSON.stringify({ ...tinyOptions('.'), training: { batch: 512 } }))
  const running = start(['bench', 'slow.json', '--steps', '10000', '--profile', '--out', 'stopped'], folder.path)
  expect(await until(running, () => existsSync(at('stopped')))).toBe(true)
  setTimeout(() => running.child.kill('SIGINT'), 1500)
  const end = await running.end
  expect({ code: end.code, stdout: end.stdout }).toEqual({ code: 130, stdout: '' })
  expect(end.stderr).toContain('Stopping.')
  // The folder was made for it, and goes with it.
  expect(existsSync(at('stopped'))).toBe(false)
})

describe('from TypeScript', () => {
  test.each([
    [{ steps: 0 }, /`steps`/],
    [{ steps: 1.5 }, /`steps`/],
    [{ works: [] }, /`works`/],
    [{ works: ['sampling'] }, /`works`/],
    [{ stepz: 3 }, /stepz/],
  ])('%j is refused', async (wrong, message) => {
    await expect(benchmark({ recipe: 'sprites', ...(wrong as object) })).rejects.toThrow(message)
  })

  test('progress rises to the end, and nothing native is left, even where the signal fires', async () => {
    const told: string[] = []
    const options = { recipe: at('tiny.json'), steps: 1, works: ['evaluation'], device: 'cpu' } as const
    const result = await benchmark({ ...options, onProgress: ({ part, fraction }) => told.push(`${part} ${fraction}`) })
    expect(told).toEqual(['machine 0', ...[1, 2, 3, 4].map((i) => `evaluation ${i / 5}`)])
    expect(result.evaluation?.profile.runs).toBe(1)
    expectNoHandles(loadBinding())
    const controller = new AbortController()
    const stopped = benchmark({ ...options, signal: controller.signal, onProgress: () => controller.abort() })
    await expect(stopped).rejects.toMatchObject({ code: 'DPM_ABORTED' })
    expectNoHandles(loadBinding())
  })
})
