/** Child processes that use the addon: what must be seen from outside, a process's end, is tested on these. */
import { spawn } from 'node:child_process'
import { dirname } from 'node:path'
import { discoverLibtorch } from '../../lib/libtorch/discover.js'
import { libtorchAbi } from '../../lib/libtorch/manifest.js'
import { findAddon, librariesToOpen } from '../../lib/native/load.js'
import { tinyUnetSettings } from './tiny-unet.js'

export interface ChildEnd {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
  /** Milliseconds from the last line on standard output to the end of the process. */
  readonly lastLineToEnd: number
}

const addonModule = new URL('fixtures/addon.mjs', import.meta.url).href

function addonForChild(): string {
  const addon = findAddon()
  const libtorch = discoverLibtorch({ configured: undefined, prebuild: dirname(addon.entry) })
  const network = tinyUnetSettings({
    image: { channels: 3, height: 16, width: 16 },
    settings: { attentionResolutions: [8] },
  })
  return JSON.stringify({ ...addon, libraries: librariesToOpen(libtorch), abi: libtorchAbi, network })
}

/**
 * Runs a module's text in a process of its own; it finds the addon's functions in scope (see fixtures/addon.mjs).
 * @param options.flags flags of Node; `signalAfterLine` is sent when the child first prints a line.
 */
export async function runChild(
  script: string,
  options: { readonly flags?: readonly string[]; readonly signalAfterLine?: NodeJS.Signals } = {},
): Promise<ChildEnd> {
  const text = `import * as addon from ${JSON.stringify(addonModule)}
    const { binding, createExecution, createInput, createNetwork, forwardChecksum, networkSettings, sleep, startLongJob } = addon
    ${script}`
  const child = spawn(process.execPath, [...(options.flags ?? []), '--input-type=module', '--eval', text], {
    env: { ...process.env, DPM_TEST_ADDON: addonForChild(), DPM_TEST_MODULE: addonModule, NODE_OPTIONS: '' },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let stdout = ''
  let stderr = ''
  let lastLine = performance.now()
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    if (stdout === '' && options.signalAfterLine) child.kill(options.signalAfterLine)
    stdout += chunk
    lastLine = performance.now()
  })
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    stderr += chunk
  })
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => {
      resolve({ code, signal, stdout, stderr, lastLineToEnd: performance.now() - lastLine })
    })
  })
}
