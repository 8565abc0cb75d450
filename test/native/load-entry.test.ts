import { execFileSync } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { inspectLibtorch } from '../../lib/libtorch/discover.js'
import { diagnose } from '../../lib/libtorch/doctor.js'
import { probe } from '../../lib/libtorch/probe.js'
import { describeFailure, findAddon, librariesToOpen, openAddon } from '../../lib/native/load.js'

/** The entry, compiled from its source, with small C libraries in the places of libtorch and the core. */
const repository = fileURLToPath(new URL('../..', import.meta.url))
let folder = ''
const at = (name: string) => join(folder, name)

function compile(compiler: string, source: string, target: string, ...flags: string[]): void {
  const headers = join(dirname(createRequire(import.meta.url).resolve('node-api-headers/package.json')), 'include')
  execFileSync(compiler, [
    '-shared',
    '-fPIC',
    '-isystem',
    headers,
    '-DNAPI_VERSION=8',
    ...flags,
    join(repository, source),
    '-o',
    target,
  ])
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dpm-entry-'))
  for (const name of ['good/lib', 'old/lib', 'crash/lib', 'empty/lib']) await mkdir(at(name), { recursive: true })
  compile('c++', 'native/entry/entry.cpp', at('dpm-torch.node'), '-std=c++20', '-ldl')
  compile('cc', 'test/native/fixtures/fake_core.c', at('libdpm_core.so'))
  compile('cc', 'test/native/fixtures/fake_libtorch.c', at('good/lib/libtorch_cpu.so'), '-DFAKE_MINOR=15')
  compile('cc', 'test/native/fixtures/fake_libtorch.c', at('old/lib/libtorch_cpu.so'), '-DFAKE_MINOR=14')
  compile(
    'cc',
    'test/native/fixtures/fake_libtorch.c',
    at('good/lib/libc10.so'),
    '-DFAKE_MINOR=15',
    '-Daoti_torch_abi_version=c10_other',
  )
  await writeFile(at('crash.c'), '__attribute__((constructor)) void fall(void) { *(volatile int*)0 = 1; }')
  await writeFile(at('needs.c'), 'void absent_symbol(void); void dpm_core_init(void) { absent_symbol(); }')
  execFileSync('cc', ['-shared', '-fPIC', at('crash.c'), '-o', at('crash/lib/libtorch_cpu.so')])
  execFileSync('cc', ['-shared', '-fPIC', at('needs.c'), '-o', at('libneeds.so')])
  for (const name of ['good', 'crash']) await writeFile(at(`${name}/build-version`), '2.15.3+cpu\n')
  await writeFile(at('crash/lib/libc10.so'), await readFile(at('good/lib/libc10.so')))
}, 60_000)
afterAll(() => rm(folder, { recursive: true, force: true }))

/** Each in its own process: what one has opened stays open. */
const open = (libraries: string[], core: string | null, abi: number | null) =>
  probe('return require(input.entry).open(input)', { entry: at('dpm-torch.node'), libraries, core, abi })
const failure = (libraries: string[], core: string | null, abi: number | null) =>
  probe('try { require(input.entry).open(input) } catch (error) { return [error.code, error.message] }', {
    entry: at('dpm-torch.node'),
    libraries,
    core,
    abi,
  }).then((result) => result.value)

describe('the entry', () => {
  test('opens the libraries, checks the minor version whatever the patch, and gives what the core exports', async () => {
    expect(
      await open([at('good/lib/libc10.so'), at('good/lib/libtorch_cpu.so')], at('libdpm_core.so'), 2 * 256 + 15),
    ).toEqual({
      ok: true,
      value: { initialised: 1 },
      failure: '',
    })
  })

  test('another minor version', async () => {
    expect(await failure([at('old/lib/libtorch_cpu.so')], at('libdpm_core.so'), 2 * 256 + 15)).toEqual([
      'DPM_LIBTORCH_MISMATCH',
      'Expected libtorch 2.15 but the one opened is 2.14.',
    ])
  })

  test('no version at all', async () => {
    expect(await failure([], at('libdpm_core.so'), 2 * 256 + 15)).toEqual([
      'DPM_LIBTORCH_MISMATCH',
      expect.stringContaining('does not say its version'),
    ])
  })

  test('a library that is not there, in the words of the loader', async () => {
    expect(await failure([at('nowhere.so')], null, null)).toEqual([
      'DPM_LIBTORCH_MISSING',
      expect.stringMatching(/nowhere.so: cannot open shared object file/),
    ])
  })

  test('a core that is missing, is no core, or lacks a symbol', async () => {
    const library = [at('good/lib/libtorch_cpu.so')]
    expect(await failure(library, at('nowhere.so'), null)).toEqual([
      'DPM_ADDON_MISSING',
      expect.stringContaining('nowhere.so'),
    ])
    expect(await failure(library, at('good/lib/libc10.so'), null)).toEqual([
      'DPM_ADDON_MISSING',
      expect.stringContaining('is not the core of dpm-torch'),
    ])
    expect(await failure(library, at('libneeds.so'), null)).toEqual([
      'DPM_LIBTORCH_MISMATCH',
      expect.stringContaining('absent_symbol'),
    ])
  })

  test('arguments of a wrong kind', async () => {
    const code =
      'try { require(input).open({ libraries: 3, core: null, abi: null }) } catch (error) { return error.code }'
    expect((await probe(code, at('dpm-torch.node'))).value).toBe('DPM_INTERNAL')
  })

  test('one core per process, initialised once in the main thread and in each worker', async () => {
    const code = `
      const { Worker } = require('node:worker_threads')
      const own = require(input.entry).open(input).initialised
      const run = () => new Promise((resolve, reject) => {
        const script = 'const { workerData: input, parentPort } = require("node:worker_threads");' +
          'parentPort.postMessage(require(input.entry).open(input).initialised)'
        new Worker(script, { eval: true, workerData: input }).on('message', resolve).on('error', reject)
      })
      const first = await run()
      const both = await Promise.all([run(), run()])
      return [own, first, ...both.sort()]`
    const input = {
      entry: at('dpm-torch.node'),
      libraries: [at('good/lib/libtorch_cpu.so')],
      core: at('libdpm_core.so'),
      abi: 527,
    }
    expect(await probe(code, input)).toEqual({ ok: true, value: [1, 2, 3, 4], failure: '' })
  })

  test('a second libtorch in one process is refused', async () => {
    const code = `
      const { open } = require(input.entry)
      open({ libraries: [input.first], core: null, abi: null })
      try { open({ libraries: [input.second], core: null, abi: null }) } catch (error) { return [error.code, error.message] }`
    const input = {
      entry: at('dpm-torch.node'),
      first: at('good/lib/libtorch_cpu.so'),
      second: at('old/lib/libtorch_cpu.so'),
    }
    expect((await probe(code, input)).value).toEqual([
      'DPM_LIBTORCH_MISMATCH',
      expect.stringContaining('already runs on'),
    ])
  })
})

describe('loading', () => {
  const addon = () => ({ entry: at('dpm-torch.node'), core: at('libdpm_core.so') })

  test('opens what was discovered', () => {
    const binding = openAddon(addon(), inspectLibtorch(at('good'), 'LIBTORCH')) as unknown as { initialised: number }
    expect(binding.initialised).toBeGreaterThan(0)
  })

  test('CUDA libraries are opened only where there is a driver', () => {
    const libtorch = { ...inspectLibtorch(at('good'), 'LIBTORCH'), flavour: 'cuda' as const }
    expect(librariesToOpen(libtorch, false)).toEqual([at('good/lib/libc10.so'), at('good/lib/libtorch_cpu.so')])
    expect(librariesToOpen(libtorch, true).at(-1)).toBe(at('good/lib/libtorch_cuda.so'))
  })

  test('failures carry the code, the words of the loader and a command', () => {
    const libtorch = { ...inspectLibtorch(at('good'), 'LIBTORCH'), source: 'cache' as const }
    const missing = describeFailure(
      Object.assign(new Error('libcupti.so.13: no'), { code: 'DPM_LIBTORCH_MISSING' }),
      addon(),
      libtorch,
    )
    expect(missing).toMatchObject({
      code: 'DPM_LIBTORCH_MISSING',
      message: expect.stringContaining('npx dpm-torch setup --force'),
    })
    const old = describeFailure(new Error("version `GLIBC_2.38' not found"), addon(), libtorch)
    expect(old.code).toBe('DPM_PLATFORM_UNSUPPORTED')
  })

  test('an addon that is neither built nor prebuilt', () => {
    expect(() => findAddon(at('empty'))).toThrow(expect.objectContaining({ code: 'DPM_ADDON_MISSING' }))
  })

  test('a prebuilt one is found by platform and C library', async () => {
    const prebuilds = at(`packed/prebuilds/${process.platform}-${process.arch}`)
    await mkdir(prebuilds, { recursive: true })
    await writeFile(join(prebuilds, 'dpm-torch.glibc.node'), '')
    expect(() => findAddon(at('packed'))).toThrow(/incomplete: .*libdpm_core.so is missing/)
    await writeFile(join(prebuilds, 'libdpm_core.so'), '')
    expect(findAddon(at('packed'))).toEqual({
      entry: join(prebuilds, 'dpm-torch.glibc.node'),
      core: join(prebuilds, 'libdpm_core.so'),
    })
  })
})

describe('doctor', () => {
  const checksOf = async (libtorch: string) => {
    const diagnosis = await diagnose({
      environment: { DPM_TORCH_LIBTORCH: libtorch, DPM_TORCH_HOME: at('cache') },
      findAddon: () => ({ entry: at('dpm-torch.node'), core: at('libdpm_core.so') }),
    })
    return { ...diagnosis, byName: Object.fromEntries(diagnosis.checks.map((check) => [check.name, check])) }
  }

  test('a library that crashes is reported, not suffered', async () => {
    const { ok, byName } = await checksOf(at('crash'))
    expect(ok).toBe(false)
    expect(byName['libc10.so']).toMatchObject({ ok: true, value: 'loads' })
    expect(byName['libtorch_cpu.so']).toMatchObject({
      ok: false,
      value: expect.stringContaining('SIGSEGV'),
      cure: expect.stringContaining('npx dpm-torch setup'),
    })
  })

  test('a core without the functions fails at the first call, after everything before it passed', async () => {
    const { checks, byName } = await checksOf(at('good'))
    const names = checks.map((check) => check.name)
    expect(names).toEqual([
      'platform',
      'glibc',
      'node',
      'addon',
      'libtorch',
      'libc10.so',
      'libtorch_cpu.so',
      'libtorch version',
      'first call',
      'NVIDIA driver',
      'cache',
      'pip',
    ])
    expect(checks.filter((check) => !check.ok).map((check) => check.name)).toEqual(['first call'])
    expect(byName.libtorch?.value).toContain('2.15.3+cpu')
  })
})
