/** `dpm-torch setup`: installs libtorch into the cache. */
import { Command, Option } from 'commander'
import { flavours, setupSources } from '../libtorch/manifest.js'
import { type SetupProgress, showBytes, showProgress } from '../libtorch/progress.js'
import { interruptible } from './interrupt.js'
import { printLine } from './print-line.js'

interface SetupFlags {
  readonly from?: string
  readonly source: (typeof setupSources)[number]
  readonly flavour: string
  readonly sha256?: string
  readonly force?: boolean
  readonly json?: boolean
}

export function setupCommand(): Command {
  return new Command('setup')
    .description('install the libtorch that dpm-torch runs on')
    .option('--from <path>', 'install from a libtorch zip, a torch wheel, a folder of wheels or an unpacked libtorch')
    .addOption(new Option('--source <source>', 'where to download from').choices(setupSources).default('auto'))
    .addOption(new Option('--flavour <flavour>', 'cpu or cuda').choices(['auto', ...flavours]).default('auto'))
    .option('--sha256 <digits>', 'the SHA-256 that the official zip, or the archive of --from, must have')
    .option('--force', 'install again over what is there')
    .option('--json', 'print the result as JSON')
    .addHelpText('after', environmentHelp)
    .action(run)
}

const environmentHelp = `
What is downloaded runs as you: it is installed only with the SHA-256 that this version of dpm-torch knows of the wheels, or that
--sha256 gives for the official zip. A file or folder of --from is your own choice.

Environment, paths absolute:
  DPM_TORCH_HOME      the cache folder (default $XDG_CACHE_HOME/dpm-torch or ~/.cache/dpm-torch)
  DPM_TORCH_MIRROR    a copy of download.pytorch.org/libtorch, for --sha256
  DPM_TORCH_LIBTORCH  a libtorch of your own, used instead of the cache`

async function run(flags: SetupFlags): Promise<void> {
  const { setupLibtorch } = await import('../libtorch/setup.js')
  const line = new ProgressLine(process.stderr)
  try {
    const { from, source, flavour, sha256, force = false } = flags
    const result = await interruptible((signal) =>
      setupLibtorch(
        {
          ...(from === undefined ? {} : { from }),
          ...(sha256 === undefined ? {} : { sha256 }),
          source,
          flavour,
          force,
        },
        { signal, onProgress: (progress) => line.show(progress), onMessage: (text) => line.print(text) },
      ),
    )
    line.clear()
    const { libtorch, folder, sizeBytes, seconds, installed } = result
    if (flags.json) {
      const { root, version, flavour: found } = libtorch
      printLine(JSON.stringify({ folder, root, version, flavour: found, sizeBytes, seconds, installed }))
      return
    }
    const what = `libtorch ${libtorch.version} (${libtorch.flavour}, ${showBytes(sizeBytes)})`
    printLine(
      installed ? `${what} is installed in ${folder}, in ${Math.ceil(seconds)} s.` : `${what} is already in ${folder}.`,
    )
  } finally {
    line.clear()
  }
}

/** One line that is written over on a terminal; elsewhere a plain line at each tenth of the way. */
class ProgressLine {
  readonly #stream: NodeJS.WriteStream
  #last = ''

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream
  }

  show(progress: SetupProgress): void {
    if (this.#stream.isTTY) {
      this.#stream.write(`\r\x1b[2K${showProgress(progress).slice(0, (this.#stream.columns ?? 80) - 1)}`)
      return
    }
    const { stage, name, doneBytes, totalBytes } = progress
    const tenth = totalBytes === null ? 0 : Math.floor((10 * doneBytes) / Math.max(1, totalBytes))
    const key = `${stage} ${name} ${tenth}`
    if (key === this.#last) return
    this.#last = key
    this.#stream.write(`${showProgress(progress)}\n`)
  }

  print(text: string): void {
    this.clear()
    this.#stream.write(`${text}\n`)
  }

  clear(): void {
    if (this.#stream.isTTY) this.#stream.write('\r\x1b[2K')
  }
}
