/** The places a libtorch can come from. Each fills an empty folder, or says why it cannot. */
import { existsSync } from 'node:fs'
import { mkdir, readdir, rm, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { DpmError, expected } from '../errors.js'
import { readFailure } from '../files/file-failure.js'
import type { Environment } from './cache.js'
import { type Identity, identify, requireSum } from './digest.js'
import { findRoot, inspectLibtorch } from './discover.js'
import { download, SourceError } from './download.js'
import { type Flavour, peakBytes, type WheelPin, wheelsOf, zipAddress, zipServer } from './manifest.js'
import { findPip, pipDownload } from './pip.js'
import type { ReportProgress } from './progress.js'
import { copyUnpacked, describeArchive, folderMode, requireSpace, unpackArchive } from './unpack.js'

export interface FillWork {
  /** An empty folder of ours; whatever is left in it is removed afterwards. */
  readonly part: string
  readonly flavour: Flavour
  /** What the caller asked for: with `auto` an archive of the other flavour is taken as it is. */
  readonly wanted: Flavour | 'auto'
  /** Another source may be tried after this one. */
  readonly impatient?: boolean
  /** What the user says that the archive's SHA-256 is. */
  readonly sha256?: string | undefined
  readonly environment: Environment
  readonly onMessage: (line: string) => void
  readonly onProgress?: ReportProgress | undefined
  readonly signal?: AbortSignal | undefined
}

export interface Filled {
  /** The folder to become the cache entry. */
  readonly tree: string
  /** The folder in it with `lib/`. */
  readonly root: string
  readonly source: string
  readonly needsRuntime: boolean
}

/** A source that says nothing for so long is skipped where there is another. */
const impatientSeconds = 10
const patientSeconds = 60
/** pip says nothing while it starts, reads the index and, at the end, checks and moves 0.5 GB. */
const pipSilenceSeconds = 60

async function makeTree(part: string): Promise<string> {
  const tree = join(part, 'tree')
  await mkdir(tree, { recursive: true, mode: folderMode })
  return tree
}

/**
 * The official zip, from download.pytorch.org or the mirror in DPM_TORCH_MIRROR. Nobody publishes its SHA-256, so the user must: with
 * that any mirror will do, over http too.
 */
export async function fillFromZip(work: FillWork): Promise<Filled> {
  const { part, flavour, environment, sha256 } = work
  if (sha256 === undefined) {
    throw new DpmError('DPM_INTERNAL', 'The official zip was asked for without the SHA-256 that it should have.')
  }
  const address = zipAddress(flavour, requireMirror(environment.DPM_TORCH_MIRROR) || zipServer)
  const path = join(part, 'libtorch.zip')
  try {
    const silenceSeconds = work.impatient ? impatientSeconds : patientSeconds
    const mostBytes = peakBytes.zip[flavour]
    await download(address, path, { signal: work.signal, onProgress: work.onProgress, silenceSeconds, mostBytes })
  } catch (error) {
    if (!(error instanceof SourceError)) throw error
    const proxied = environment.HTTPS_PROXY || environment.https_proxy
    throw new SourceError(
      `${new URL(address).host}: ${error.message}${proxied ? ' (it is asked directly; only pip follows your proxy)' : ''}`,
    )
  }
  requireSum(path, await identify(path, work.signal), [sha256])
  const tree = await makeTree(part)
  const root = await unpackArchive(path, tree, flavour, work)
  return { tree, root, source: address, needsRuntime: false }
}

/** @throws DpmError DPM_INVALID_OPTION */
function requireMirror(mirror: string | undefined): string | undefined {
  if (!mirror) return undefined
  if (URL.canParse(mirror) && /^https?:$/.test(new URL(mirror).protocol)) return mirror
  const what = 'an address that begins with https:// or http://'
  throw expected(what, 'DPM_TORCH_MIRROR', mirror, 'A file or folder is given by --from.', 'DPM_INVALID_OPTION')
}

/** The torch wheel and the nvidia wheels it needs, through the user's pip. */
export async function fillFromPip(work: FillWork): Promise<Filled> {
  const tree = await makeTree(work.part)
  await pipInto(tree, wheelsOf[work.flavour], work)
  return { tree, root: 'torch', source: `pip: ${pinNames(wheelsOf[work.flavour])}`, needsRuntime: true }
}

function pinNames(pins: readonly WheelPin[]): string {
  return pins.map((pin) => `${pin.name}==${pin.version}`).join(' ')
}

/** One wheel after another, each deleted once unpacked, so that the disk never holds them all. */
async function pipInto(tree: string, pins: readonly WheelPin[], work: FillWork): Promise<void> {
  const pip = await findPip()
  if (!pip) {
    throw new SourceError('there is no pip: neither `python3 -m pip` nor pip answers (apt-get install python3-pip)')
  }
  const folder = join(work.part, 'wheels')
  for (const pin of pins) {
    const wheels = await pipDownload(pip, [pin], folder, {
      signal: work.signal,
      onProgress: work.onProgress,
      silenceSeconds: pipSilenceSeconds,
    })
    for (const wheel of wheels) await unpackArchive(wheel, tree, work.flavour, work)
    await rm(folder, { recursive: true, force: true })
  }
}

/**
 * A file or folder that the user has.
 * @throws DpmError DPM_FILE_MISSING, DPM_FILE_INVALID, DPM_LIBTORCH_MISMATCH, DPM_INVALID_OPTION
 */
export async function fillFrom(from: string, work: FillWork): Promise<Filled> {
  const path = resolve(from)
  const information = await stat(path).catch((error: unknown) => {
    const failure = readFailure(path, error)
    if (failure.code !== 'DPM_FILE_MISSING') throw failure
    throw new DpmError('DPM_FILE_MISSING', `\`from\` names ${path}, which does not exist.`, { cause: error })
  })
  if (!information.isDirectory()) return fillFromArchive(path, work)
  const root = findRoot(path)
  if (root !== null) return fillFromFolder(root, work)
  const archives = (await namesIn(path)).filter((name) => /^(torch-.*\.whl|libtorch-.*\.zip)$/.test(name)).sort()
  const [first, second] = archives
  if (first === undefined) {
    throw expected(
      'a libtorch zip, a torch wheel, a folder with one, or an unpacked libtorch',
      'from',
      path,
      'That folder has no lib/libtorch_cpu.so, no torch-*.whl and no libtorch-*.zip.',
      'DPM_FILE_INVALID',
    )
  }
  if (second !== undefined) {
    throw expected(
      'a folder with one libtorch',
      'from',
      path,
      `It has ${archives.join(', ')}: name one of them.`,
      'DPM_FILE_INVALID',
    )
  }
  return fillFromArchive(join(path, first), work)
}

async function namesIn(folder: string): Promise<string[]> {
  return readdir(folder).catch((error: unknown) => {
    throw readFailure(folder, error, 'folder')
  })
}

async function fillFromFolder(root: string, work: FillWork): Promise<Filled> {
  // Version and completeness before copying, not after.
  const found = inspectLibtorch(root, 'from')
  const flavour = chooseFlavour(found.flavour === 'cuda', root, work)
  if (work.sha256 !== undefined) {
    throw new DpmError(
      'DPM_INVALID_OPTION',
      `\`sha256\` is the sum of an archive, and \`from\` names the unpacked libtorch ${root}. Name the archive, or leave the sum out.`,
    )
  }
  work.onMessage(`${root} is installed unverified: dpm-torch knows archives, not folders. Its code will run as you.`)
  const tree = await makeTree(work.part)
  const copied = await copyUnpacked(root, tree, flavour, work)
  const wheel = existsSync(join(root, 'version.py'))
  return { tree, root: copied, source: root, needsRuntime: wheel && found.flavour === 'cuda' }
}

async function fillFromArchive(path: string, work: FillWork): Promise<Filled> {
  const contents = await describeArchive(path)
  if (contents.kind === 'nvidia-wheel') {
    throw expected(
      'a torch wheel or a libtorch zip',
      'from',
      path,
      'Name the torch wheel; its nvidia wheels are found beside it.',
      'DPM_FILE_INVALID',
    )
  }
  const flavour = chooseFlavour(contents.cuda, path, work)
  await requireSpace(work.part, peakBytes.from[flavour])
  const identity = await identify(path, work.signal)
  if (work.sha256 !== undefined) requireSum(path, identity, [work.sha256])
  else tellIdentity(path, identity, work)
  const tree = await makeTree(work.part)
  const root = await unpackArchive(path, tree, flavour, work)
  await identity.requireUnchanged()
  const needsRuntime = contents.kind === 'torch-wheel' && contents.cuda
  if (needsRuntime) await addRuntime(dirname(path), tree, { ...work, flavour })
  return { tree, root, source: path, needsRuntime }
}

function tellIdentity(path: string, { sha256, known }: Identity, work: FillWork): void {
  work.onMessage(
    known
      ? `${basename(path)} is a file that dpm-torch knows, by its SHA-256.`
      : `${basename(path)} is installed unverified: dpm-torch does not know its SHA-256, ${sha256}. Its code will run as you.`,
  )
}

function chooseFlavour(cuda: boolean, place: string, work: FillWork): Flavour {
  if (cuda || work.flavour === 'cpu') return work.flavour
  if (work.wanted === 'auto') return 'cpu'
  throw expected(
    'a CUDA build of libtorch',
    'from',
    place,
    'It has no libtorch_cuda.so. Leave `--flavour cuda` out to install it.',
    'DPM_FILE_INVALID',
  )
}

/** The nvidia wheels that belong to a torch wheel: those beside it, the rest through pip. */
async function addRuntime(folder: string, tree: string, work: FillWork): Promise<void> {
  const names = await namesIn(folder)
  const missing: WheelPin[] = []
  for (const pin of wheelsOf[work.flavour].slice(1)) {
    const start = `${pin.name.replaceAll('-', '_')}-`
    const beside = names.filter((name) => name.startsWith(start) && name.endsWith('.whl'))
    const wheel = beside.find((name) => name.startsWith(`${start}${pin.version}`)) ?? beside[0]
    if (wheel === undefined) missing.push(pin)
    else {
      const identity = await identify(join(folder, wheel), work.signal)
      tellIdentity(wheel, identity, work)
      await unpackArchive(join(folder, wheel), tree, work.flavour, work)
      await identity.requireUnchanged()
    }
  }
  if (missing.length === 0) return
  work.onMessage(`${pinNames(missing)} not found beside the torch wheel: asking pip.`)
  try {
    await pipInto(tree, missing, work)
  } catch (error) {
    if (!(error instanceof SourceError)) throw error
    throw new DpmError(
      'DPM_SETUP_FAILED',
      `The torch wheel needs ${pinNames(missing)}, which are not in ${basename(folder) || folder}, and ${error.message}. ` +
        'Download these wheels and put them beside it.',
      { cause: error },
    )
  }
}
