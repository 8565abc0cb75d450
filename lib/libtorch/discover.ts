/** Finds the libtorch to run on. Reads files only: nothing is opened, downloaded or written. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { basename, dirname, isAbsolute, join, resolve } from 'node:path'
import { DpmError } from '../errors.js'
import { cacheFolder, type Environment, entryFolder, readReceipt, requireAbsolute, requireSafeEntry } from './cache.js'
import { type Flavour, fitsCore, flavours, libtorchMinor, openedLibraries } from './manifest.js'
import { nvidiaDriver } from './platform.js'
import { EmptyFolder, findProgram, pythonEnvironment } from './python.js'

export interface Libtorch {
  /** The folder that holds `lib/` and, where the core can be built against it, `include/`. */
  readonly root: string
  readonly lib: string
  readonly include?: string
  /** Which rule found it. */
  readonly source: LibtorchSource
  readonly flavour: Flavour
  /** As libtorch spells it, e.g. `2.15.0+cpu`. */
  readonly version: string
}

export type LibtorchSource =
  | 'configure'
  | 'DPM_TORCH_LIBTORCH'
  | 'LIBTORCH'
  | 'LIBTORCH_USE_PYTORCH'
  | 'cache'
  | 'prebuild'
  | 'from'

export interface DiscoverOptions {
  /** What `configure({ libtorch })` was given. */
  readonly configured?: string | undefined
  /** Folder of the prebuilt addon, which may bring a libtorch along. */
  readonly prebuild?: string | undefined
  readonly environment?: Environment
  /** Whether to prefer the CUDA flavour where the cache has both; by default where there is an NVIDIA driver. */
  readonly cuda?: boolean
}

const setupCure = 'Run `npx dpm-torch setup` to install it.'

/**
 * The first of: `configure({ libtorch })`, `DPM_TORCH_LIBTORCH`, `LIBTORCH`, the installed Python torch when
 * `LIBTORCH_USE_PYTORCH=1`, the cache that `setup` fills, a `libtorch` folder beside the prebuilt addon.
 *
 * @throws DpmError DPM_LIBTORCH_MISSING when there is none, or an explicit choice is no libtorch; DPM_INVALID_OPTION for a relative path
 *   in the environment;
 *   DPM_LIBTORCH_MISMATCH when one that was found has another version or lacks files. A choice somebody made is never
 *   passed over in favour of the next.
 */
export function discoverLibtorch(options: DiscoverOptions = {}): Libtorch {
  const { environment = process.env, configured, prebuild } = options
  if (configured !== undefined) return inspectLibtorch(configured, 'configure')
  for (const name of ['DPM_TORCH_LIBTORCH', 'LIBTORCH'] as const) {
    const folder = environment[name]
    if (folder) return inspectLibtorch(requireAbsolute(folder, name), name)
  }
  if (environment.LIBTORCH_USE_PYTORCH === '1') return inspectLibtorch(pythonTorch(environment), 'LIBTORCH_USE_PYTORCH')

  const cache = cacheFolder(environment)
  const cuda = options.cuda ?? nvidiaDriver() !== null
  for (const flavour of cuda ? (['cuda', 'cpu'] as const) : flavours) {
    const entry = entryFolder(flavour, cache)
    if (!existsSync(entry)) continue
    const receipt = readReceipt(entry)
    if (!receipt) {
      throw new DpmError(
        'DPM_LIBTORCH_MISMATCH',
        `The libtorch in ${entry} is incomplete. Run \`npx dpm-torch setup --force\` to install it again.`,
      )
    }
    requireSafeEntry(cache, entry)
    return inspectLibtorch(join(entry, receipt.root), 'cache')
  }
  if (prebuild !== undefined && existsSync(join(prebuild, 'libtorch'))) {
    return inspectLibtorch(join(prebuild, 'libtorch'), 'prebuild')
  }
  throw new DpmError(
    'DPM_LIBTORCH_MISSING',
    `No libtorch ${libtorchMinor} was found: not in ${cache}, and neither DPM_TORCH_LIBTORCH nor LIBTORCH names one. ` +
      setupCure,
    { details: { cache } },
  )
}

/**
 * Checks a folder: a libtorch, its parent, or Python's site-packages.
 * @throws DpmError DPM_LIBTORCH_MISSING, DPM_LIBTORCH_MISMATCH
 */
export function inspectLibtorch(folder: string, source: LibtorchSource): Libtorch {
  const place = places[source]
  const root = findRoot(folder)
  if (root === null) {
    throw new DpmError(
      'DPM_LIBTORCH_MISSING',
      `Expected a folder with lib/libtorch_cpu.so, or one that holds it as libtorch/ or torch/, for ${place} but ` +
        `${resolve(folder)} ${existsSync(folder) ? 'has none' : 'does not exist'}. ${cureFor(source)}`,
      { details: { folder, source } },
    )
  }
  const lib = join(root, 'lib')
  const version = readLibtorchVersion(root)
  const found = version === null ? 'it does not say its version' : `it is ${version}`
  if (version === null || !fitsCore(version)) {
    throw new DpmError(
      'DPM_LIBTORCH_MISMATCH',
      `Expected libtorch ${libtorchMinor} in ${root} (${place}) but ${found}. ${cureFor(source)}`,
      { details: { root, version, expected: libtorchMinor, source } },
    )
  }
  const flavour: Flavour = existsSync(join(lib, 'libtorch_cuda.so')) ? 'cuda' : 'cpu'
  const missing = openedLibraries[flavour].filter((name) => !existsSync(join(lib, name)))
  if (missing.length > 0) {
    throw new DpmError(
      'DPM_LIBTORCH_MISMATCH',
      `The libtorch in ${root} (${place}) is incomplete: ${missing.join(', ')} is missing. ${cureFor(source)}`,
      { details: { root, missing, source } },
    )
  }
  const include = join(root, 'include')
  return { root, lib, ...(existsSync(join(include, 'ATen')) ? { include } : {}), source, flavour, version }
}

/** The folder itself, or `libtorch/` or `torch/` in it, whichever has `lib/libtorch_cpu.so`; null when none has. */
export function findRoot(folder: string): string | null {
  const root = resolve(folder)
  const candidates = [root, join(root, 'libtorch'), join(root, 'torch')]
  return candidates.find((candidate) => existsSync(join(candidate, 'lib', 'libtorch_cpu.so'))) ?? null
}

/**
 * Version of an unpacked libtorch: the `build-version` file of a zip, Python's `version.py`, the wheel's dist-info, or
 * the header that the core is compiled against. Null when none of them is there.
 */
export function readLibtorchVersion(root: string): string | null {
  const zip = readText(join(root, 'build-version'))?.trim()
  if (zip) return zip
  const wheel = /^__version__ = '([^']+)'/m.exec(readText(join(root, 'version.py')) ?? '')?.[1]
  if (wheel) return wheel
  if (basename(root) === 'torch') {
    const information = listFolder(dirname(root)).map((name) => /^torch-(\d[^-]*)\.dist-info$/.exec(name)?.[1])
    const installed = information.find((version) => version !== undefined)
    if (installed) return installed
  }
  const header = readText(join(root, 'include', 'torch', 'headeronly', 'version.h')) ?? ''
  const numbers = ['MAJOR', 'MINOR', 'PATCH'].map((part) => {
    return new RegExp(`#define TORCH_VERSION_${part} (\\d+)`).exec(header)?.[1]
  })
  return numbers.every((number) => number !== undefined) ? numbers.join('.') : null
}

const places: Readonly<Record<LibtorchSource, string>> = {
  configure: '`configure({ libtorch })`',
  DPM_TORCH_LIBTORCH: 'the environment variable DPM_TORCH_LIBTORCH',
  LIBTORCH: 'the environment variable LIBTORCH',
  LIBTORCH_USE_PYTORCH: 'the installed Python torch, asked for by LIBTORCH_USE_PYTORCH=1',
  cache: 'the cache',
  prebuild: 'beside the prebuilt addon',
  from: 'what `setup --from` was given',
}

function cureFor(source: LibtorchSource): string {
  if (source === 'cache') return 'Run `npx dpm-torch setup --force` to install it again.'
  if (source === 'prebuild') return setupCure
  if (source === 'from') return `Give it libtorch ${libtorchMinor}, as a zip, a wheel or a folder.`
  if (source === 'configure') return 'Give another folder, or leave it out after `npx dpm-torch setup`.'
  return `Unset ${source} to use the one that \`npx dpm-torch setup\` installs, or give it another value.`
}

/** Folder of the torch package that `python3` would import; Python only looks for it, it does not import it. */
function pythonTorch(environment: Environment): string {
  const code =
    'import importlib.util as u; s = u.find_spec("torch"); print(list(s.submodule_search_locations)[0] if s else "")'
  const { execFileSync } = process.getBuiltinModule('node:child_process')
  using nowhere = new EmptyFolder()
  const env = pythonEnvironment(environment)
  for (const name of ['python3', 'python']) {
    const python = findProgram(name, environment)
    if (python === undefined) continue
    try {
      const folder = execFileSync(python, ['-c', code], {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
        timeout: 20_000,
        cwd: nowhere.path,
        env,
      }).trim()
      if (isAbsolute(folder)) return folder
    } catch {
      // This Python is not there or does not answer: the next one may.
    }
  }
  throw new DpmError(
    'DPM_LIBTORCH_MISSING',
    'LIBTORCH_USE_PYTORCH=1 asks for the torch of the installed Python, but no python3 or python on the PATH has one. ' +
      cureFor('LIBTORCH_USE_PYTORCH'),
  )
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return null
  }
}

function listFolder(path: string): string[] {
  try {
    return readdirSync(path)
  } catch {
    return []
  }
}
