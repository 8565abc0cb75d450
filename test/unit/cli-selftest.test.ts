/** What `dpm-torch selftest` prints, writes and returns. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, describe, expect, test, vi } from 'vitest'
import { runProgram } from '../../lib/cli/program.js'
import { DpmError } from '../../lib/errors.js'
import { samplerExpectations } from '../../lib/evaluation/selftest/expectations.js'
import type { Selftest } from '../../lib/evaluation/selftest/selftest.js'
import { selftestChart } from '../../lib/evaluation/selftest/selftest-chart.js'
import { loadSharp } from '../../lib/images/load-sharp.js'
import * as loading from '../../lib/native/load.js'

vi.mock('../../lib/native/load.js', { spy: true })

const folder = mkdtempSync(join(tmpdir(), 'dpm-torch-selftest-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
afterEach(() => {
  vi.restoreAllMocks()
  process.exitCode = undefined
})

async function run(...args: string[]): Promise<{ readonly code: number; readonly out: string; readonly err: string }> {
  const out = vi.spyOn(console, 'log').mockImplementation(() => undefined)
  const written = vi.spyOn(process.stderr, 'write').mockImplementation(() => true)
  const code = await runProgram(['node', 'dpm-torch', 'selftest', ...args])
  process.exitCode = undefined
  const text = (calls: readonly unknown[][]): string => calls.map((call) => call.join(' ')).join('\n')
  return { code, out: text(out.mock.calls), err: text(written.mock.calls) }
}

const at = (name: string): string => join(folder, name)
const results = ['selftest.json', 'selftest.png', 'selftest.svg']

describe('selftest', () => {
  test('prints a line for each part that was asked for, and writes what it found', async () => {
    const { code, out } = await run('heun', 'rk45', 'ode', '--no-native', '--out', at('some'))
    expect(code).toBe(0)
    expect(out).toMatch(/^heun +2\.00 +2 +2\.8 /m)
    expect(out).toMatch(/^rk45 +5\.\d\d +5 +- +- +- +- +- +- +- +-$/m)
    expect(out).toMatch(/^rk45: no run of fewer than \d\d evaluations$/m)
    expect(out).toMatch(/^ode +dequantization uniform +mixture +7\.0041 +7\.0041 +0\.0000 ± 0\.0000$/m)
    expect(out).toContain('native loop: left out')
    expect(out).toContain('All as it should be.')
    expect(readdirSync(at('some')).toSorted()).toEqual(results)
    for (const name of results) expect(out).toContain(join(at('some'), name))
    const found = JSON.parse(readFileSync(at('some/selftest.json'), 'utf8')) as Selftest
    expect(found.samplers.map(({ sampler }) => sampler)).toEqual(['heun', 'rk45'])
    expect(found.passes).toBe(true)
    const sharp = await loadSharp()
    const { width = 0, format } = await sharp(at('some/selftest.png')).metadata()
    expect([width > 400, format]).toEqual([true, 'png'])
    expect(readFileSync(at('some/selftest.svg'), 'utf8')).toContain('>heun</text>')
  })

  test('--json is the same as a line of JSON, and the only thing on standard output', async () => {
    const { code, out } = await run('ddim', '--no-native', '--json', '--out', at('json'))
    expect(code).toBe(0)
    const { files, ...rest } = JSON.parse(out) as Selftest & { readonly files: readonly string[] }
    expect(rest).toEqual(JSON.parse(readFileSync(at('json/selftest.json'), 'utf8')))
    expect(files.toSorted()).toEqual(results.map((name) => join(at('json'), name)))
    expect(rest.samplers[0]).toMatchObject({ sampler: 'ddim', expectedOrder: 1, orderProcess: 'vp-sde' })
  })

  test('likelihoods alone have no chart', async () => {
    expect(await run('ode', '--no-native', '--out', at('ode'))).toMatchObject({ code: 0 })
    expect(readdirSync(at('ode'))).toEqual(['selftest.json'])
  })

  test('exit code 1 when something is not as it should be, and the line that says what', async () => {
    const claims = samplerExpectations as { euler: { order: number } }
    const claimed = claims.euler
    claims.euler = { order: 3 }
    const { code, out } = await run('euler', '--no-native', '--out', at('wrong')).finally(() => {
      claims.euler = claimed
    })
    expect(code).toBe(1)
    expect(out).toMatch(/^euler .*WRONG: order 1\.00, expected 3$/m)
    expect(out).toContain('Something is not as it should be.')
    expect(readdirSync(at('wrong')).toSorted()).toEqual(results)
  })

  test('without the addon says so and measures the rest; a broken addon is an error', async () => {
    const load = vi.mocked(loading.loadBinding)
    load.mockImplementation(() => {
      throw new DpmError('DPM_ADDON_MISSING', 'There is no addon.')
    })
    const { code, out, err } = await run('ddim', '--out', at('bare'))
    expect(code).toBe(0)
    expect(err).toContain('Without the native loop: There is no addon.')
    expect(out).toContain('native loop: left out')
    load.mockImplementation(() => {
      throw new DpmError('DPM_LIBTORCH_MISMATCH', 'Another libtorch.')
    })
    expect(await run('ddim', '--out', at('bare'))).toMatchObject({
      code: 1,
      err: expect.stringContaining('Another libtorch'),
    })
  })

  test('Ctrl-C stops it, and nothing is written', async () => {
    setTimeout(() => process.emit('SIGINT', 'SIGINT'), 100)
    const { code, err } = await run('vlb', '--no-native', '--out', at('stopped'))
    expect(code).toBe(130)
    expect(err).toContain('Stopping.')
    // The folder was made for it, and goes with it.
    expect(existsSync(at('stopped'))).toBe(false)
  })

  test('on a terminal shows how far it is, and how long it still takes', async () => {
    const { isTTY } = process.stderr
    process.stderr.isTTY = true
    const { err } = await run('ddpm', 'ddim', '--no-native', '--out', at('progress')).finally(() => {
      process.stderr.isTTY = isTTY
    })
    expect(err).toContain('selftest · ddpm · 0 %')
    expect(err).toMatch(/selftest · ddim · \d\d % · \d+ s left/)
  })

  test.each([
    [['ddimm'], 'Did you mean "ddim"?'],
    [['images'], 'Expected one of ddpm, ddim'],
    [['--steps', '3'], ''],
  ])('%j is wrong usage, before anything is made', async (args, message) => {
    const { code, err } = await run(...args, '--out', at('usage'))
    expect(code).toBe(2)
    expect(err).toContain(message)
    expect(existsSync(at('usage'))).toBe(false)
  })

  test('a folder that cannot be made is said before anything is measured', async () => {
    const path = join(at('some'), 'selftest.json', 'inside')
    expect(statSync(at('some/selftest.json')).isFile()).toBe(true)
    const { code, err, out } = await run('ddim', '--no-native', '--out', path)
    expect([code, out]).toEqual([1, ''])
    expect(err).toContain('DPM_WRITE_FAILED')
  })
})

describe('the chart', () => {
  const check = (sampler: string, errors: readonly (number | null)[]) => ({
    sampler,
    order: 1,
    expectedOrder: 1,
    orderProcess: 'vp-sde',
    missOfOnlyImage: 0,
    measured: {
      process: 'edm',
      stochastic: false,
      fewestEvaluations: 1,
      errors: { gaussian: errors, mixture: errors },
    },
    faults: [],
    passes: true,
  })
  const chartOf = (...samplers: readonly ReturnType<typeof check>[]): string | undefined =>
    selftestChart({ budgets: [5, 10, 20, 50], samplers, likelihoods: [], native: null, passes: true })

  test('has a panel for each family, in which equals share a line', () => {
    const svg = chartOf(
      check('ddim', [4, 3, 2, 1]),
      check('euler', [4, 3, 2, 1]),
      check('unipc', [4, 1, 0.2, 0.1]),
      check('of-mine', [1, null, null, 0.5]),
    )
    for (const text of ['Single-step', 'DPM-Solver and UniPC', 'Others', 'ddim, euler', 'unipc', 'of-mine']) {
      expect(svg).toContain(`>${text}</text>`)
    }
    expect(svg).not.toContain('>Multistep</text>')
  })

  test('is left out where there is nothing to show', () => {
    expect(chartOf(check('rk45', [null, null, null, null]))).toBeUndefined()
  })
})
