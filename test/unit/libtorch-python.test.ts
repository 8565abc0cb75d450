/** Nothing of the folder that a user stands in is run, or its libraries opened: it may be someone else's checkout. */
import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { isAbsolute, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { cacheFolder, requireSafeEntry } from '../../lib/libtorch/cache.js'
import { discoverLibtorch } from '../../lib/libtorch/discover.js'
import { findPip } from '../../lib/libtorch/pip.js'
import { EmptyFolder, findProgram, pythonEnvironment } from '../../lib/libtorch/python.js'

const before = process.cwd()
let here = ''
beforeEach(() => {
  here = mkdtempSync(join(tmpdir(), 'dpm-trapped-'))
  setTraps()
  process.chdir(here)
})
afterEach(() => {
  process.chdir(before)
  vi.unstubAllEnvs()
  rmSync(here, { recursive: true, force: true })
})

/** Names of the traps that were run. */
function sprung(): string[] {
  const path = join(here, 'sprung')
  return existsSync(path) ? readFileSync(path, 'utf8').trim().split('\n') : []
}

const modules = 'pip site sitecustomize usercustomize json runpy pkgutil importlib encodings os io abc re ssl torch'
const programs = ['python3', 'python', 'pip3']

/** A file for everything that Python imports on its way to pip, or to a torch; each leaves a mark when it is run. */
function setTraps(): void {
  for (const name of modules.split(' ')) {
    const trap = `open(${JSON.stringify(join(here, 'sprung'))}, "a").write(${JSON.stringify(`${name}\n`)})\n`
    mkdirSync(join(here, name))
    for (const file of [`${name}.py`, `${name}/__init__.py`, `${name}/__main__.py`])
      writeFileSync(join(here, file), trap)
  }
  for (const name of programs) {
    writeFileSync(join(here, name), `#!/bin/sh\necho ${name} >> "${here}/sprung"\necho "pip 99.0 from here"\n`)
    chmodSync(join(here, name), 0o755)
  }
  mkdirSync(join(here, 'torch', 'lib'))
  for (const name of ['libc10.so', 'libtorch_cpu.so']) writeFileSync(join(here, 'torch', 'lib', name), 'evil')
  writeFileSync(join(here, 'torch', 'version.py'), "__version__ = '2.15.0'\n")
  writeFileSync(join(here, 'pip.conf'), `[global]\npython = ${here}/python3\n`)
}

const hasPython = findProgram('python3', process.env) !== undefined

/** Whatever else the user has set, as long as none of it names this folder by its absolute path. */
const settings: readonly (readonly [string, Readonly<Record<string, string>>])[] = [
  ['nothing set', {}],
  [
    'all that is searched, set to the folder',
    {
      PATH: `.::${process.env['PATH']}`,
      PYTHONPATH: ':.:/nowhere:',
      PYTHONUSERBASE: '.',
      PYTHONSTARTUP: 'pip.py',
      PYTHONINSPECT: '1',
      PIP_CONFIG_FILE: 'pip.conf',
    },
  ],
]

describe.runIf(hasPython)('in a folder full of traps', () => {
  test('the traps are real', () => {
    execFileSync(findProgram('python3', process.env) ?? '', ['-m', 'pip', '--version'], { cwd: here, stdio: 'ignore' })
    expect(sprung()).not.toEqual([])
  })

  test.each(settings)('pip is asked: %s', async (_, environment) => {
    for (const [name, value] of Object.entries(environment)) vi.stubEnv(name, value)
    const pip = await findPip()
    expect(sprung()).toEqual([])
    if (pip) expect(isAbsolute(pip.command[0] ?? '')).toBe(true)
    expect(pip?.version).not.toBe('99.0')
  })

  test.each(settings)('torch is looked for: %s', (_, environment) => {
    const asked = { ...process.env, ...environment, LIBTORCH_USE_PYTORCH: '1', DPM_TORCH_LIBTORCH: '', LIBTORCH: '' }
    let found = ''
    try {
      found = discoverLibtorch({ environment: asked }).root
    } catch (error) {
      expect(error).toMatchObject({ code: expect.stringMatching(/DPM_LIBTORCH/) })
      expect((error as Error).message).not.toContain(here)
    }
    expect(found.startsWith(here)).toBe(false)
    expect(sprung()).toEqual([])
  })

  test('a torch in an absolute folder of PYTHONPATH is the user’s own choice', () => {
    const environment = { PATH: process.env['PATH'], PYTHONPATH: here, LIBTORCH_USE_PYTORCH: '1' }
    for (const name of modules.split(' ').filter((one) => one !== 'torch')) {
      rmSync(join(here, name), { recursive: true })
      rmSync(join(here, `${name}.py`))
    }
    expect(discoverLibtorch({ environment }).root).toBe(join(here, 'torch'))
    expect(sprung()).toEqual([])
  })
})

test('of the environment stays what is the user’s, and goes what is of the folder', () => {
  const given = { HTTPS_PROXY: 'x', PIP_INDEX_URL: 'y', PATH: '.:/a::b:/c', PYTHONPATH: ':.:/d', PYTHONSTARTUP: 'z' }
  expect(pythonEnvironment({ ...given, GONE: undefined })).toEqual({
    HTTPS_PROXY: 'x',
    PIP_INDEX_URL: 'y',
    PATH: '/a:/c',
    PYTHONPATH: '/d',
    PYTHONSAFEPATH: '1',
  })
})

test('the folder that programs start in is empty, ours alone, and gone afterwards', () => {
  const folder = new EmptyFolder()
  expect(statSync(folder.path).mode & 0o777).toBe(0o700)
  folder[Symbol.dispose]()
  expect(existsSync(folder.path)).toBe(false)
})

describe('places of libraries', () => {
  test.each(['DPM_TORCH_HOME', 'DPM_TORCH_LIBTORCH', 'LIBTORCH'])('a relative %s is refused', (name) => {
    for (const path of ['torch', './torch', '../x', '~/x']) {
      const work = () => discoverLibtorch({ environment: { [name]: path } })
      expect(work).toThrow(
        new RegExp(`Expected an absolute path for \`${name}\` but received "${path.replaceAll('.', '\\.')}"`),
      )
      expect(work).toThrow(expect.objectContaining({ code: 'DPM_INVALID_OPTION' }))
    }
  })

  test('a relative XDG_CACHE_HOME counts as none, and without a HOME the cache is absolute too', () => {
    expect(cacheFolder({ XDG_CACHE_HOME: '/x' })).toBe('/x/dpm-torch')
    for (const home of ['', '.', 'relative']) {
      vi.stubEnv('HOME', home)
      const folder = cacheFolder({ XDG_CACHE_HOME: 'relative' })
      expect(isAbsolute(folder)).toBe(true)
      expect(folder.startsWith(here)).toBe(false)
    }
  })

  test('a libtorch that every user can write to is not loaded', () => {
    const [cache, entry] = [join(here, 'cache'), join(here, 'cache', 'entry')]
    mkdirSync(entry, { recursive: true })
    for (const mode of [0o700, 0o755, 0o775]) {
      chmodSync(entry, mode)
      requireSafeEntry(cache, entry)
    }
    chmodSync(cache, 0o777)
    requireSafeEntry(cache, entry)
    chmodSync(entry, 0o777)
    expect(() => requireSafeEntry(cache, entry)).toThrow(/can be written by every user.*chmod -R o-w/)
  })

  test.runIf(process.geteuid?.() === 0)('nor one that another user has put where all can', async () => {
    const { chownSync } = await import('node:fs')
    const [cache, entry] = [join(here, 'cache'), join(here, 'cache', 'entry')]
    mkdirSync(entry, { recursive: true })
    chownSync(entry, 1234, 1234)
    chmodSync(cache, 0o1777)
    expect(() => requireSafeEntry(cache, entry)).toThrow(/belongs to another user \(1234\)/)
    // A cache of another's that only they can write to: whoever named it has chosen them.
    chmodSync(cache, 0o755)
    chownSync(cache, 1234, 1234)
    requireSafeEntry(cache, entry)
  })
})
