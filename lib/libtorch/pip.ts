/** Downloads wheels with the user's own pip, so that their index, proxy, certificates and cache are honoured. */
import { execFile, spawn } from 'node:child_process'
import { mkdir, readdir, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { throwIfAborted } from '../errors.js'
import { identify, requireSum } from './digest.js'
import { SourceError } from './download.js'
import { type WheelPin, wheelPlatforms, wheelPythons } from './manifest.js'
import { ProgressMeter, type ReportProgress, showBytes } from './progress.js'
import { EmptyFolder, findProgram, pythonEnvironment } from './python.js'
import { type WheelFile, wheelFiles } from './wheel-files.js'

export interface Pip {
  /** How it is called, e.g. `['/usr/bin/python3', '-I', '-m', 'pip']`; the program's path is absolute. */
  readonly command: readonly string[]
  /** E.g. `23.2.1`. */
  readonly version: string
}

/** Isolated (-I) first, which knows nothing of the user's PYTHONPATH; the others where pip is among the user's own packages. */
const commands: readonly (readonly string[])[] = [
  ['python3', '-I', '-m', 'pip'],
  ['python', '-I', '-m', 'pip'],
  ['python3', '-m', 'pip'],
  ['python', '-m', 'pip'],
  ['pip3'],
  ['pip'],
]

/** The first pip that answers, or null. */
export async function findPip(): Promise<Pip | null> {
  using nowhere = new EmptyFolder()
  for (const [name = '', ...rest] of commands) {
    const program = findProgram(name, process.env)
    if (program === undefined) continue
    const answer = await ask(program, [...rest, '--version'], nowhere.path)
    const version = /^pip (\S+)/.exec(answer)?.[1]
    if (version) return { command: [program, ...rest], version }
  }
  return null
}

function ask(program: string, rest: readonly string[], cwd: string): Promise<string> {
  const env = pythonEnvironment(process.env)
  return new Promise((resolve) => {
    execFile(program, rest, { timeout: 20_000, cwd, env }, (error, output) => resolve(error ? '' : output))
  })
}

/** What pip writes beside a wheel into the same file, in its cache. */
const slackBytes = 16 << 20

export interface PipDownloadOptions {
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ReportProgress | undefined
  /** pip is ended when it neither prints nor receives anything for so long. */
  readonly silenceSeconds: number
}

/**
 * Downloads wheels into a folder.
 * @param folder must be ours alone: pip's temporary files go there too, so that a cancelled download leaves nothing.
 * @returns the wheels' paths, in the order asked for.
 * @throws SourceError with pip's own words when it finds or gets nothing; DpmError DPM_FILE_INVALID for a wheel that is not the one we know.
 */
export async function pipDownload(
  pip: Pip,
  wheels: readonly WheelPin[],
  folder: string,
  options: PipDownloadOptions,
): Promise<string[]> {
  const paths: string[] = []
  for (const wheel of wheels) {
    const target = join(folder, wheel.name)
    await mkdir(join(target, 'temporary'), { recursive: true })
    await downloadWheel(pip, wheel, target, options)
    const name = (await readdir(target)).find((file) => file.endsWith('.whl'))
    if (name === undefined) throw new SourceError(`pip said that it saved ${wheel.name} but left no wheel`)
    // pip has looked too; but which pip answers is for the machine to say.
    const sums = filesOf(wheel).map(({ sha256 }) => sha256)
    requireSum(join(target, name), await identify(join(target, name), options.signal), sums)
    paths.push(join(target, name))
  }
  return paths
}

function filesOf({ name }: WheelPin): readonly WheelFile[] {
  return wheelFiles[name] ?? []
}

/** The wheel by name, version and the sums of its files: pip takes no other (`--require-hashes`). */
function requirementOf(wheel: WheelPin): string {
  return [`${wheel.name}==${wheel.version}`, ...filesOf(wheel).map(({ sha256 }) => `--hash=sha256:${sha256}`)].join(' ')
}

async function downloadWheel(pip: Pip, wheel: WheelPin, target: string, options: PipDownloadOptions): Promise<void> {
  const refusals: string[] = []
  for (const python of wheelPythons) {
    const outcome = await runPip(pip, wheel, python, target, options)
    if (outcome === null) return
    refusals.push(outcome)
    // Another Python's wheel helps only where the index has none for this one.
    if (!/No matching distribution|Could not find a version/.test(outcome)) break
    // Wheels of nvidia are for any Python.
    if (wheel.name !== 'torch') break
  }
  throw new SourceError(`pip could not get ${wheel.name} ${wheel.version}: ${refusals[0]}`)
}

/** Null when pip saved the wheel, else its complaint. */
async function runPip(
  pip: Pip,
  wheel: WheelPin,
  python: string,
  target: string,
  options: PipDownloadOptions,
): Promise<string | null> {
  const { signal, onProgress, silenceSeconds } = options
  throwIfAborted(signal, 'The download')
  const temporary = join(target, 'temporary')
  const requirements = join(target, 'requirements.txt')
  await writeFile(requirements, `${requirementOf(wheel)}\n`)
  const mostBytes = Math.max(...filesOf(wheel).map(({ sizeBytes }) => sizeBytes)) + slackBytes
  const [program = '', ...rest] = pip.command
  const child = spawn(
    program,
    [
      ...[...rest, 'download', '--no-deps', '--only-binary=:all:', '--progress-bar', 'off', '--dest', target],
      ...['--implementation', 'cp', '--python-version', python],
      ...['--abi', `cp${python.replace('.', '')}`, '--abi', 'abi3', '--abi', 'none'],
      ...wheelPlatforms.flatMap((platform) => ['--platform', platform]),
      ...['--require-hashes', '--requirement', requirements],
    ],
    {
      stdio: ['ignore', 'pipe', 'pipe'],
      cwd: temporary,
      env: {
        ...pythonEnvironment(process.env),
        TMPDIR: temporary,
        PIP_DISABLE_PIP_VERSION_CHECK: '1',
        PIP_NO_INPUT: '1',
        LC_ALL: 'C.UTF-8',
      },
    },
  )
  let output = ''
  let heardAt = performance.now()
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text
      heardAt = performance.now()
    })
  }

  const meter = new ProgressMeter('download', `${wheel.name} ${wheel.version}`, null, onProgress)
  let silent = false
  let excessive = false
  let watching = false
  const watch = async () => {
    // The interval goes on while the folder is being read; one reading at a time.
    if (watching) return
    watching = true
    const bytes = await largestFile(temporary)
    watching = false
    if (bytes !== meter.doneBytes) heardAt = performance.now()
    meter.totalBytes = announcedBytes(output)
    if (bytes > 0) meter.set(bytes)
    silent = performance.now() - heardAt > silenceSeconds * 1000
    excessive = bytes > mostBytes
    if (silent || excessive) child.kill('SIGKILL')
  }
  const timer = setInterval(() => void watch(), 250)
  // SIGKILL: pip would ask nobody anything, and its temporary files are in our folder.
  const abort = () => child.kill('SIGKILL')
  signal?.addEventListener('abort', abort, { once: true })
  try {
    const code = await new Promise<number | null>((resolve, reject) => {
      child.on('error', reject)
      child.on('close', resolve)
    })
    throwIfAborted(signal, 'The download')
    if (excessive) throw new SourceError(`pip was sent more than the ${showBytes(mostBytes)} of ${wheel.name}`)
    if (silent) throw new SourceError(`pip was silent for ${silenceSeconds} s`)
    return code === 0 ? null : complaint(output)
  } finally {
    clearInterval(timer)
    signal?.removeEventListener('abort', abort)
  }
}

/** pip writes the wheel, and a second copy for its cache, into its temporary folder: the larger one is how far it is. */
async function largestFile(folder: string): Promise<number> {
  let largest = 0
  const names = await readdir(folder, { recursive: true }).catch(() => [])
  for (const name of names) {
    const information = await stat(join(folder, name)).catch(() => null)
    if (information?.isFile()) largest = Math.max(largest, information.size)
  }
  return largest
}

/** Size that pip prints when it starts: `Downloading torch-….whl (539.2 MB)`. */
function announcedBytes(output: string): number | null {
  const found = /(?:Downloading|Using cached) \S+ \(([\d.]+) ([kMG]?B)\)/.exec(output)
  const units: Readonly<Record<string, number>> = { B: 1, kB: 1e3, MB: 1e6, GB: 1e9 }
  return found ? Number(found[1]) * (units[found[2] ?? ''] ?? 1) : null
}

/** pip's errors without its warnings, in one line. */
function complaint(output: string): string {
  const lines = output.split('\n').map((line) => line.trim())
  const errors = lines.filter((line) => line.startsWith('ERROR:')).map((line) => line.slice(6).trim())
  const said = errors.length > 0 ? errors : lines.filter(Boolean).slice(-1)
  return said.join(' ').slice(0, 500)
}
