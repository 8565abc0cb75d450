/** Looks at everything between an empty machine and the first native call, in the order in which it can fail. */
import { existsSync } from 'node:fs'
import { access, constants, statfs } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import type { Addon } from '../native/load.js'
import { findAddon, librariesToOpen } from '../native/load.js'
import { cacheFolder, type Environment } from './cache.js'
import { discoverLibtorch, type Libtorch } from './discover.js'
import { libtorchAbi, libtorchMinor, libtorchVersion, peakBytes } from './manifest.js'
import { findPip } from './pip.js'
import { compareVersions, nvidiaDriver, oldestGlibc, platformObstacle, readPlatform } from './platform.js'
import { probe } from './probe.js'
import { showBytes } from './progress.js'

export interface Check {
  readonly name: string
  readonly ok: boolean
  /** What was found, for people. */
  readonly value: string
  /** What to do, or null where nothing needs doing. */
  readonly cure: string | null
}

export interface Diagnosis {
  /** Whether dpm-torch can run here. */
  readonly ok: boolean
  readonly checks: readonly Check[]
}

export interface DoctorOptions {
  readonly environment?: Environment
  readonly configured?: string | undefined
  /** Sees each check as it is done. */
  readonly onCheck?: (check: Check) => void
  readonly findAddon?: () => Addon
}

const setupCure = 'Run `npx dpm-torch setup`.'
const oldestNode = '20.19'

export async function diagnose(options: DoctorOptions = {}): Promise<Diagnosis> {
  const { environment = process.env, onCheck } = options
  const checks: Check[] = []
  const add = (name: string, ok: boolean, value: string, cure: string | null = null) => {
    const check = { name, ok, value, cure: ok && cure === null ? null : cure }
    checks.push(check)
    onCheck?.(check)
  }

  const platform = readPlatform()
  const obstacle = platformObstacle(platform)
  const supported = `Linux x86-64 with glibc ${oldestGlibc} or newer is needed.`
  add(
    'platform',
    platform.system === 'linux' && platform.processor === 'x64',
    `${platform.system}-${platform.processor}`,
    obstacle && supported,
  )
  const glibcFits = platform.glibc !== null && compareVersions(platform.glibc, oldestGlibc) >= 0
  add('glibc', glibcFits, platform.glibc ?? 'not glibc', glibcFits ? null : supported)
  const node = process.versions.node
  const nodeFits = compareVersions(node, oldestNode) >= 0
  add('node', nodeFits, node, nodeFits ? null : `Use Node ${oldestNode} or newer.`)

  const addon = attempt(options.findAddon ?? findAddon)
  if (addon.found) add('addon', true, addon.found.entry)
  else add('addon', false, addon.problem, 'Run `node scripts/prepare.mjs` in a checkout, or install dpm-torch again.')

  const prebuild = addon.found ? dirname(addon.found.entry) : undefined
  const libtorch = attempt(() => discoverLibtorch({ environment, configured: options.configured, prebuild }))
  if (libtorch.found) {
    const { root, version, source, flavour } = libtorch.found
    add('libtorch', true, `${root} (${version}, ${flavour}, from ${source})`)
  } else add('libtorch', false, libtorch.problem, setupCure)

  if (addon.found && libtorch.found) await checkLoading(addon.found, libtorch.found, add)
  checkDriver(libtorch.found, add)
  const cache = attempt(() => cacheFolder(environment))
  if (cache.found) await checkCache(cache.found, libtorch.found !== null, add)
  else add('cache', false, cache.problem, 'Correct it.')
  const pip = await findPip()
  // pip is only one way to libtorch, and of no use once there is one.
  add(
    'pip',
    pip !== null || libtorch.found !== null,
    pip ? `${pip.version} (${pip.command.join(' ')})` : 'not found',
    pip ? null : 'Only needed for `setup --source pip`: apt-get install python3-pip.',
  )
  return { ok: checks.every((check) => check.ok), checks }
}

type Add = (name: string, ok: boolean, value: string, cure?: string | null) => void

function attempt<Found>(
  find: () => Found,
): { readonly found: Found; readonly problem: '' } | { readonly found: null; readonly problem: string } {
  try {
    return { found: find(), problem: '' }
  } catch (error) {
    return { found: null, problem: (error as Error).message }
  }
}

const openCode = 'return require(input.entry).open({ libraries: input.libraries, core: null, abi: input.abi })'
const firstCallCode = `
  const binding = require(input.entry).open({ libraries: input.libraries, core: input.core, abi: input.abi })
  const devices = await binding.cudaDeviceCount()
  return { version: binding.version(), devices }`

/** Each library with those before it, in its own child, so that the one that fails is named; then one call of the core. */
async function checkLoading(addon: Addon, libtorch: Libtorch, add: Add): Promise<void> {
  const libraries = librariesToOpen(libtorch)
  const cure = `Run \`npx dpm-torch setup --force\`${libtorch.source === 'cache' ? '' : ` and unset ${libtorch.source}`}.`
  for (const [index, library] of libraries.entries()) {
    const opened = await probe(openCode, { entry: addon.entry, libraries: libraries.slice(0, index + 1), abi: null })
    add(basename(library), opened.ok, opened.ok ? 'loads' : opened.failure, opened.ok ? null : cure)
    if (!opened.ok) return
  }
  const version = await probe(openCode, { entry: addon.entry, libraries, abi: libtorchAbi })
  add('libtorch version', version.ok, version.ok ? libtorchMinor : version.failure, version.ok ? null : cure)
  if (!version.ok) return
  const input = { entry: addon.entry, libraries, core: addon.core, abi: libtorchAbi }
  const called = await probe(firstCallCode, input)
  const coreCure = 'The core was built for another libtorch: build it again, or install dpm-torch again.'
  add('first call', called.ok, called.ok ? describeCall(called.value) : called.failure, called.ok ? null : coreCure)
}

function describeCall(value: unknown): string {
  const { version, devices } = value as {
    version: { core: string; libtorch: string; capability: string; multipliesBfloat16: boolean; threads: number }
    devices: number
  }
  const { core, libtorch, capability, multipliesBfloat16, threads } = version
  const instructions = `${capability}${multipliesBfloat16 ? ' with' : ' without'} bfloat16`
  return `core ${core} on libtorch ${libtorch}, ${instructions}, ${threads} threads, ${devices} CUDA devices`
}

function checkDriver(libtorch: Libtorch | null, add: Add): void {
  const driver = nvidiaDriver()
  const blind = driver !== null && libtorch?.flavour === 'cpu'
  const value =
    driver === null
      ? 'none: dpm-torch runs on the processor'
      : `${driver}${blind ? ', but this libtorch has no CUDA' : ''}`
  add('NVIDIA driver', true, value, blind ? 'Run `npx dpm-torch setup --flavour cuda` to use the GPU.' : null)
}

async function checkCache(cache: string, complete: boolean, add: Add): Promise<void> {
  let existing = cache
  while (!existsSync(existing) && dirname(existing) !== existing) existing = dirname(existing)
  const cure = 'Set DPM_TORCH_HOME to a folder on a disk with room.'
  try {
    const { bavail, bsize } = await statfs(existing)
    const freeBytes = bavail * bsize
    const needed = peakBytes.pip.cpu
    const writable = await access(existing, constants.W_OK).then(
      () => true,
      () => false,
    )
    const enough = complete || (writable && freeBytes >= needed)
    const room = `${cache}, ${showBytes(freeBytes)} free${writable ? '' : ', not writable'}`
    add(
      'cache',
      enough,
      room,
      enough ? null : `libtorch ${libtorchVersion} takes ${showBytes(needed)} while it is installed. ${cure}`,
    )
  } catch (error) {
    add('cache', complete, `${cache}: ${(error as Error).message}`, cure)
  }
}
