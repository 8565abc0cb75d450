import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, describe, expect, test, vi } from 'vitest'
import { catalog } from '../../lib/catalog.js'
import { runProgram } from '../../lib/cli/program.js'
import { programFromJson } from '../../lib/sampling/program-json.js'
import { samplers } from '../../lib/sampling/samplers.js'

const folder = mkdtempSync(join(tmpdir(), 'dpm-torch-explain-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
afterEach(() => vi.restoreAllMocks())

async function run(...args: string[]): Promise<{ readonly code: number; readonly out: string; readonly err: string }> {
  const [out, err] = [vi.spyOn(console, 'log'), vi.spyOn(console, 'error')]
  out.mockImplementation(() => undefined)
  err.mockImplementation(() => undefined)
  const written = vi.spyOn(process.stderr, 'write').mockImplementation(() => true)
  const code = await runProgram(['node', 'dpm-torch', ...args])
  const text = (calls: readonly unknown[][]): string => calls.map((call) => call.join(' ')).join('\n')
  const result = { code, out: text(out.mock.calls), err: text(err.mock.calls) + text(written.mock.calls) }
  vi.restoreAllMocks()
  return result
}

describe('explain', () => {
  test('prints what runs: DDIM in two steps, by hand', async () => {
    const { code, out } = await run('explain', 'ddim', '--steps', '2', '--set', 'diffusion.clip.kind=none')
    expect(code).toBe(0)
    expect(out.split('\n')).toHaveLength(10)
    expect(out).toContain('network 0 (r0, label 999, condition null)')
    expect(out).toContain('network 0 (r0, label 499, condition null)')
  })

  test('gives JSON that --file reads and prints as the same program', async () => {
    const flags = ['--steps', '4', '--guidance', '2', '--inpaint', '--spacing', 'karras']
    const shown = await run('explain', 'dpm++2m', ...flags)
    const json = await run('explain', 'dpm++2m', ...flags, '--json')
    expect(programFromJson(json.out).steps).toBe(4)
    writeFileSync(join(folder, 'program.json'), json.out)
    expect((await run('explain', '--file', join(folder, 'program.json'))).out).toBe(shown.out)
  })

  test.each(Object.keys(samplers))('%s is explained, or says why it cannot be', async (name) => {
    const { code, out, err } = await run(
      'explain',
      name,
      '--set',
      rectified.includes(name) ? flow : 'diffusion.loss=l2',
      ...(name === 'repaint' ? ['--inpaint'] : []),
    )
    if (samplers[name as keyof typeof samplers].adaptive) {
      expect(code).toBe(2)
      expect(err).toContain('it has no program')
    } else {
      expect(out).toMatch(new RegExp(`^${name.replaceAll('+', '\\+')}: 5 steps, `))
    }
  })

  test.each([
    [['explain'], 'one of the two'],
    [['explain', 'ddimm'], 'Did you mean "ddim"'],
    [['explain', 'ddim', '--spacing', 'karas'], 'Did you mean "karras"'],
    [['explain', 'ddim', '--set', 'etaa=1'], 'Did you mean `eta`'],
    [['explain', 'ddpm', '--set', 'variance=learned'], 'the network has none'],
    [['explain', 'ddim', '--steps', '2000'], 'from 1 to 1000 for `steps`'],
    [
      ['explain', 'ddim', '--set', 'diffusion.prediction=previous-mean', '--set', 'diffusion.schedule=edm'],
      'previous-mean',
    ],
  ])('%j is refused', async (args, message) => {
    const { code, err } = await run(...args)
    expect(err).toContain(message)
    expect(code).toBe(2)
  })
})

/** Those that walk in the time of straight paths know no others. */
const rectified: readonly string[] = ['flow-euler', 'flow-midpoint', 'flow-heun']
const flow = 'diffusion={"schedule":"rectified-flow","prediction":"flow","timeLabel":"fraction"}'

describe('list', () => {
  test('names everything in the catalog', async () => {
    const { out } = await run('list', '--json')
    expect(JSON.parse(out)).toEqual(
      Object.fromEntries(Object.entries(catalog).map(([part, entries]) => [part, Object.keys(entries)])),
    )
  })
  test('of a part gives the options of every entry', async () => {
    const { out } = await run('list', 'samplers')
    expect(out).toContain('ddim\n    eta (number) = 0: 0: deterministic')
    const json = JSON.parse((await run('list', 'spacings', '--json')).out) as {
      name: string
      options: { path: string }[]
    }[]
    expect(json.find(({ name }) => name === 'karras')?.options.map(({ path }) => path)).toContain('rho')
  })
  test('refuses a part that there is not', async () => {
    expect(await run('list', 'sampler')).toMatchObject({
      code: 2,
      err: expect.stringContaining('for `part` but received "sampler". Did you mean "samplers"?'),
    })
  })
})
