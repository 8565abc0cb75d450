/**
 * The one place that loads the addon. Nothing happens at import: the first call of {@link loadBinding} finds the addon
 * and libtorch, opens them, and keeps the result for this environment (the main thread, or one worker).
 */
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, isAbsolute, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { DpmError, expected, isErrorCode } from '../errors.js'
import { discoverLibtorch, type Libtorch } from '../libtorch/discover.js'
import { libtorchAbi, openedLibraries } from '../libtorch/manifest.js'
import { muslLoader, nvidiaDriver, requirePlatform } from '../libtorch/platform.js'
import type { Binding } from './binding.js'

export interface Configuration {
  /** A libtorch to use instead of the one that would be found: its folder, or Python's site-packages. */
  readonly libtorch?: string
}

/** What the entry, `dpm-torch.node`, exports. */
export interface Entry {
  open(options: {
    readonly libraries: readonly string[]
    /** The core library; null opens libtorch alone, and then open() returns nothing. */
    readonly core: string | null
    /** Major · 256 + minor of the libtorch to insist on; null takes any. */
    readonly abi: number | null
  }): unknown
  /** Version of the C library that this process runs on. */
  readonly glibc: string
}

export interface Addon {
  readonly entry: string
  readonly core: string
}

/** One per environment; workers load this module anew. */
const state: { configuration: Configuration; binding?: Binding; libtorch?: Libtorch } = { configuration: {} }

/**
 * Settings for loading, to be given before the first use of the library.
 * @throws DpmError DPM_INVALID_ARGUMENT when libtorch is already loaded.
 */
export function configure(configuration: Configuration): void {
  if (typeof configuration !== 'object' || configuration === null) {
    throw expected('an object of settings', 'configuration', configuration)
  }
  if (state.binding && configuration.libtorch !== state.configuration.libtorch) {
    throw new DpmError(
      'DPM_INVALID_ARGUMENT',
      `configure() comes too late: libtorch is already loaded from ${state.libtorch?.root}. Call it before anything else.`,
    )
  }
  state.configuration = { ...configuration }
}

/**
 * The native functions.
 * @throws DpmError DPM_PLATFORM_UNSUPPORTED, DPM_ADDON_MISSING, DPM_LIBTORCH_MISSING, DPM_LIBTORCH_MISMATCH, each with
 *   the command that mends it.
 */
export function loadBinding(): Binding {
  if (state.binding) return state.binding
  if (existsSync(muslLoader)) requirePlatform()
  try {
    const addon = findAddon()
    const libtorch = discoverLibtorch({ configured: state.configuration.libtorch, prebuild: dirname(addon.entry) })
    state.binding = openAddon(addon, libtorch)
    state.libtorch = libtorch
    return state.binding
  } catch (error) {
    // Only now, for to ask takes 5 ms: where nothing can run, what is missing does not matter.
    requirePlatform()
    throw error
  }
}

/** The libtorch that {@link loadBinding} opened. */
export function loadedLibtorch(): Libtorch | undefined {
  return state.libtorch
}

/** The files to open of a libtorch, in order. CUDA is opened only where a driver is: it does not load without one. */
export function librariesToOpen(libtorch: Libtorch, driver: boolean = nvidiaDriver() !== null): string[] {
  const flavour = libtorch.flavour === 'cuda' && driver ? 'cuda' : 'cpu'
  return openedLibraries[flavour].map((name) => join(libtorch.lib, name))
}

/** The package's own folder, from `lib/native/` or `dist/native/`. */
export function packageFolder(): string {
  return fileURLToPath(new URL('../..', import.meta.url))
}

/**
 * The built addon of a checkout (`build/Release`), else the prebuilt one for this platform. Without an argument, a folder
 * that the environment names in `DPM_TORCH_ADDON` comes before both, and must then hold one.
 * @throws DpmError DPM_ADDON_MISSING
 */
export function findAddon(folder?: string): Addon {
  const named = folder === undefined ? process.env['DPM_TORCH_ADDON'] : undefined
  if (named) return namedAddon(named)
  return addonOf(folder ?? packageFolder())
}

function namedAddon(folder: string): Addon {
  const addon = { entry: join(folder, 'dpm-torch.node'), core: join(folder, 'libdpm_core.so') }
  const missing = isAbsolute(folder) ? Object.values(addon).find((path) => !existsSync(path)) : undefined
  if (isAbsolute(folder) && missing === undefined) return addon
  throw expected(
    'the absolute path of a folder with dpm-torch.node and libdpm_core.so',
    'DPM_TORCH_ADDON',
    folder,
    missing === undefined ? '' : `${missing} is not there.`,
    'DPM_ADDON_MISSING',
  )
}

function addonOf(folder: string): Addon {
  const built = join(folder, 'build', 'Release', 'dpm-torch.node')
  const entry = existsSync(built) ? built : findPrebuilt(folder)
  if (entry === null) {
    const checkout = existsSync(join(folder, 'CMakeLists.txt'))
    throw new DpmError(
      'DPM_ADDON_MISSING',
      `The native addon is not there: neither ${built} nor a prebuilt one for ${process.platform}-${process.arch} in ` +
        `${join(folder, 'prebuilds')}. ${checkout ? 'Run `node scripts/prepare.mjs` to build it.' : 'Install dpm-torch again: its package brings it.'}`,
      { details: { folder } },
    )
  }
  const core = join(dirname(entry), 'libdpm_core.so')
  if (existsSync(core)) return { entry, core }
  throw new DpmError(
    'DPM_ADDON_MISSING',
    `The native addon ${entry} is incomplete: ${core} is missing. ${addonCure(folder)}`,
  )
}

function addonCure(folder: string): string {
  return existsSync(join(folder, 'CMakeLists.txt'))
    ? 'Run `node scripts/prepare.mjs` to build it again.'
    : 'Install dpm-torch again.'
}

function findPrebuilt(folder: string): string | null {
  const nodeGypBuild = createRequire(import.meta.url)('node-gyp-build') as { path(folder: string): string }
  try {
    return nodeGypBuild.path(folder)
  } catch {
    return null
  }
}

/** Opens libtorch, then the core. */
export function openAddon(addon: Addon, libtorch: Libtorch): Binding {
  const libraries = librariesToOpen(libtorch)
  try {
    const entry = createRequire(import.meta.url)(addon.entry) as Entry
    return entry.open({ libraries, core: addon.core, abi: libtorchAbi }) as Binding
  } catch (cause) {
    throw describeFailure(cause, addon, libtorch)
  }
}

/** The loader's words, then what to do about it. */
export function describeFailure(cause: unknown, addon: Addon, libtorch: Libtorch): DpmError {
  const { message, code } = cause as { message: string; code?: unknown }
  // Without a code of ours the entry itself did not load.
  const kind = isErrorCode(code) ? code : /GLIBC|musl/.test(message) ? 'DPM_PLATFORM_UNSUPPORTED' : 'DPM_ADDON_MISSING'
  const cures: Readonly<Record<string, string>> = {
    DPM_LIBTORCH_MISSING:
      libtorch.source === 'cache' || libtorch.source === 'prebuild'
        ? 'Run `npx dpm-torch setup --force` to install libtorch again.'
        : `It was taken from ${libtorch.root} (${libtorch.source}). Run \`npx dpm-torch setup\` and unset that, or complete it.`,
    DPM_LIBTORCH_MISMATCH: `It was taken from ${libtorch.root}. Run \`npx dpm-torch setup\`, then \`npx dpm-torch doctor\`.`,
    DPM_ADDON_MISSING: addonCure(packageFolder()),
    DPM_PLATFORM_UNSUPPORTED: 'Build the addon on this machine, or use a newer Linux.',
  }
  const sentence = /[.!?]$/.test(message) ? message : `${message}.`
  return new DpmError(kind, `${sentence} ${cures[kind] ?? 'Run `npx dpm-torch doctor`.'}`, {
    cause,
    details: { addon: addon.entry, libtorch: libtorch.root },
  })
}
