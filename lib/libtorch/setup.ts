/** Installs libtorch into the cache: `npx dpm-torch setup`. Nothing else in the library downloads or writes it. */
import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { chmod, mkdir, readdir, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as z from 'zod'
import { DpmError, throwIfAborted } from '../errors.js'
import { refusalOf } from '../files/file-failure.js'
import { makeFolder } from '../files/make-folder.js'
import { defineOptions } from '../options/options.js'
import { cacheFolder, type Environment, entryFolder, type Receipt, readReceipt, receiptName } from './cache.js'
import { discoverLibtorch, inspectLibtorch, type Libtorch } from './discover.js'
import { SourceError } from './download.js'
import { acquireInstallLock } from './install-lock.js'
import { type Flavour, flavours, peakBytes, setupSources } from './manifest.js'
import { nvidiaDriver, requirePlatform } from './platform.js'
import type { ReportProgress } from './progress.js'
import { type Filled, fillFrom, fillFromPip, fillFromZip } from './sources.js'
import { folderMode, requireSpace } from './unpack.js'

export const SetupOptions = defineOptions(
  'setup',
  z.strictObject({
    from: z
      .string()
      .min(1)
      .optional()
      .describe('A libtorch zip, a torch wheel, a folder of wheels or an unpacked libtorch to install from.'),
    source: z
      .enum(setupSources)
      .default('auto')
      .describe(
        'Where to download from: the Python wheel through pip, whose sums are known, or the official zip, whose `sha256` must be given; auto takes the first of these that can be checked and answers.',
      ),
    sha256: z
      .string()
      .regex(/^[0-9a-fA-F]{64}$/, { error: 'Expected 64 digits from 0 to f' })
      .transform((text) => text.toLowerCase())
      .optional()
      .describe('SHA-256 that the official zip, or the archive in `from`, must have.'),
    flavour: z
      .enum(['auto', ...flavours])
      .default('auto')
      .describe('cpu or cuda; auto takes cuda where there is an NVIDIA driver.'),
    force: z.boolean().default(false).describe('Install again over what is there.'),
  }),
)

export interface SetupCalls {
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ReportProgress | undefined
  /** One line for people about what happens: a source that is skipped, another setup that is waited for. */
  readonly onMessage?: ((line: string) => void) | undefined
  readonly environment?: Environment
}

export interface SetupResult {
  readonly libtorch: Libtorch
  /** The folder in the cache. */
  readonly folder: string
  readonly sizeBytes: number
  readonly seconds: number
  /** False when it was there already. */
  readonly installed: boolean
}

/**
 * Makes sure that the cache holds a libtorch of the pinned version, and returns it.
 *
 * Safe to run twice at once: the second waits and finds the work done. Cancelled, killed or failed, it leaves nothing
 * that looks complete.
 *
 * @throws DpmError DPM_SETUP_FAILED when no source gave one, DPM_WRITE_FAILED for the disk, DPM_FILE_INVALID and
 *   DPM_LIBTORCH_MISMATCH for what `from` names, DPM_PLATFORM_UNSUPPORTED, DPM_ABORTED, DPM_INVALID_OPTION.
 */
export async function setupLibtorch(options: unknown = {}, calls: SetupCalls = {}): Promise<SetupResult> {
  const settings = SetupOptions.parse(options)
  const { signal, onMessage = () => undefined, environment = process.env } = calls
  throwIfAborted(signal, 'The setup')
  requirePlatform()
  if (settings.from === undefined) sourcesOf(settings)
  const started = performance.now()
  const cache = cacheFolder(environment)
  const flavour: Flavour = settings.flavour !== 'auto' ? settings.flavour : nvidiaDriver() !== null ? 'cuda' : 'cpu'
  try {
    const isNew = !existsSync(cache)
    await makeFolder(cache)
    if (isNew) await chmod(cache, folderMode)
    const lock = await acquireInstallLock(join(cache, 'setup.lock'), {
      signal,
      onWait: (holder) => onMessage(`Waiting for another setup to finish (${holder}).`),
    })
    try {
      const seconds = () => (performance.now() - started) / 1000
      const present = readReceipt(entryFolder(flavour, cache))
      if (present && !settings.force) {
        return { ...describe(entryFolder(flavour, cache), present), seconds: seconds(), installed: false }
      }
      await removeLeftovers(cache)
      const folder = await install(settings, flavour, cache, { ...calls, onMessage, environment })
      const receipt = readReceipt(folder)
      if (!receipt) throw new DpmError('DPM_INTERNAL', `The libtorch just written to ${folder} is incomplete.`)
      return { ...describe(folder, receipt), seconds: seconds(), installed: true }
    } finally {
      await lock.release()
    }
  } catch (error) {
    throw asWriteFailure(error, cache)
  }
}

function describe(folder: string, receipt: Receipt): Pick<SetupResult, 'libtorch' | 'folder' | 'sizeBytes'> {
  return { libtorch: inspectLibtorch(join(folder, receipt.root), 'cache'), folder, sizeBytes: receipt.totalBytes }
}

/** What a killed setup left. Whoever holds the lock may do this. */
async function removeLeftovers(cache: string): Promise<void> {
  for (const name of await readdir(cache)) {
    if (/^libtorch-.*\.(part|old)-/.test(name)) await rm(join(cache, name), { recursive: true, force: true })
  }
}

async function install(
  settings: z.output<typeof SetupOptions.schema>,
  flavour: Flavour,
  cache: string,
  calls: SetupCalls & { readonly onMessage: (line: string) => void; readonly environment: Environment },
): Promise<string> {
  const part = `${entryFolder(flavour, cache)}.part-${randomUUID().slice(0, 8)}`
  try {
    const filled = await fill(settings, flavour, part, calls)
    const root = inspectLibtorch(join(filled.tree, filled.root), 'cache')
    await requireRuntime(root, filled)
    await writeReceipt(filled, root)
    throwIfAborted(calls.signal, 'The setup')
    const entry = entryFolder(root.flavour, cache)
    const old = `${entry}.old-${randomUUID().slice(0, 8)}`
    if (existsSync(entry)) await rename(entry, old)
    await rename(filled.tree, entry)
    await rm(old, { recursive: true, force: true })
    return entry
  } finally {
    await rm(part, { recursive: true, force: true })
  }
}

/** Tries the sources in turn; each starts in an empty folder. */
async function fill(
  settings: z.output<typeof SetupOptions.schema>,
  flavour: Flavour,
  part: string,
  calls: SetupCalls & { readonly onMessage: (line: string) => void; readonly environment: Environment },
): Promise<Filled> {
  const work = { part, flavour, wanted: settings.flavour, sha256: settings.sha256, ...calls }
  if (settings.from !== undefined) {
    await empty(part)
    return fillFrom(settings.from, work)
  }
  const sources = {
    zip: { label: 'The official libtorch zip', fill: fillFromZip },
    pip: { label: 'The torch wheel through pip', fill: fillFromPip },
  } as const
  const names = sourcesOf(settings)
  if (calls.environment.DPM_TORCH_MIRROR && !names.includes('zip')) {
    calls.onMessage(
      'DPM_TORCH_MIRROR is not asked: give the SHA-256 of its zip with --sha256, or it could be any program.',
    )
  }
  const refusals: string[] = []
  for (const name of names) {
    const source = sources[name]
    await empty(part)
    await requireSpace(part, peakBytes[name][flavour])
    try {
      return await source.fill({ ...work, impatient: settings.source === 'auto' })
    } catch (error) {
      throwIfAborted(calls.signal, 'The setup')
      const refused = error instanceof SourceError || (error instanceof DpmError && error.code === 'DPM_FILE_INVALID')
      if (!refused) throw error
      refusals.push(`${source.label}: ${error.message}.`.replace(/\.\.$/, '.'))
      calls.onMessage(`${source.label} is skipped: ${error.message}`)
    }
  }
  throw new DpmError(
    'DPM_SETUP_FAILED',
    `libtorch could not be installed.\n${refusals.join('\n')}\nDownload it on a machine that can, and run ` +
      '`npx dpm-torch setup --from FILE` with the zip or the wheels; or set DPM_TORCH_LIBTORCH to a libtorch you have.',
    { details: { refusals } },
  )
}

type Download = 'zip' | 'pip'

/** Those whose files can be checked. @throws DpmError DPM_INVALID_OPTION */
function sourcesOf({ source, sha256 }: z.output<typeof SetupOptions.schema>): readonly Download[] {
  if (source === 'auto') return sha256 === undefined ? ['pip'] : ['zip', 'pip']
  if (source === 'zip' && sha256 === undefined) {
    throw new DpmError(
      'DPM_INVALID_OPTION',
      'Nobody publishes the SHA-256 of the official zips, so dpm-torch cannot know them. Give the one that the zip should have as ' +
        '`sha256` (--sha256), from where you trust it; or leave --source out: the wheels that come through pip are known.',
    )
  }
  if (source === 'pip' && sha256 !== undefined) {
    throw new DpmError(
      'DPM_INVALID_OPTION',
      'The sums of the wheels that come through pip are known: `sha256` is about the official zip, or the archive of --from. Leave it out.',
    )
  }
  return [source]
}

async function empty(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true })
  // Nobody else may look into it, or change a file between its check and its unpacking.
  await mkdir(folder, { mode: 0o700 })
}

/** The wheel of a CUDA build finds `libcudart` and `libcupti` only in the nvidia folder beside it. */
async function requireRuntime(libtorch: Libtorch, filled: Filled): Promise<void> {
  if (!filled.needsRuntime) return
  const names = (await readdir(join(filled.tree, 'nvidia'), { recursive: true }).catch(() => [])).join('\n')
  const missing = ['libcudart.so', 'libcupti.so'].filter((name) => !names.includes(name))
  if (missing.length === 0) return
  throw new DpmError(
    'DPM_LIBTORCH_MISMATCH',
    `libtorch ${libtorch.version} is a CUDA build: even on the processor it needs ${missing.join(' and ')}, which ` +
      'were not found. Put the wheels nvidia-cuda-runtime and nvidia-cuda-cupti beside the torch wheel.',
    { details: { missing } },
  )
}

async function writeReceipt(filled: Filled, libtorch: Libtorch): Promise<void> {
  const files = await readdir(filled.tree, { recursive: true, withFileTypes: true })
  const libraries: { path: string; sizeBytes: number }[] = []
  let totalBytes = 0
  for (const file of files) {
    if (!file.isFile()) continue
    const path = join(file.parentPath, file.name)
    const sizeBytes = (await stat(path)).size
    totalBytes += sizeBytes
    if (/\.so(\.\d+)*$/.test(file.name)) libraries.push({ path: path.slice(filled.tree.length + 1), sizeBytes })
  }
  const receipt: Receipt = {
    format: 1,
    version: libtorch.version,
    flavour: libtorch.flavour,
    source: filled.source,
    root: filled.root,
    libraries,
    totalBytes,
  }
  await writeFile(join(filled.tree, receiptName), `${JSON.stringify(receipt, null, 2)}\n`, { mode: 0o644 })
}

function asWriteFailure(error: unknown, cache: string): unknown {
  const refused = error instanceof DpmError && error.code === 'DPM_WRITE_FAILED' ? error.cause : error
  const why = refused instanceof DpmError ? undefined : refusalOf(refused)
  if (why === undefined) return error
  return new DpmError(
    'DPM_WRITE_FAILED',
    `libtorch cannot be written to the cache folder ${cache}: ${why}. Set DPM_TORCH_HOME to a folder that you can write.`,
    { cause: error, details: { cache } },
  )
}

/**
 * What `discoverLibtorch` finds, or what a setup has just installed where it found none; for scripts/prepare.mjs.
 * @public
 */
export async function ensureLibtorch(calls: SetupCalls = {}): Promise<Libtorch> {
  try {
    return discoverLibtorch({ environment: calls.environment ?? process.env })
  } catch (error) {
    if (!(error instanceof DpmError) || error.code !== 'DPM_LIBTORCH_MISSING') throw error
    // A choice that somebody made and that is wrong is theirs to mend.
    if (error.details.source !== undefined) throw error
  }
  return (await setupLibtorch({}, calls)).libtorch
}
