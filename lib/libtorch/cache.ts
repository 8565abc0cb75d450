/**
 * The folder where `setup` keeps libtorch, and the receipt that says an entry of it is complete.
 *
 * An entry is one folder, e.g. `libtorch-2.15.0-cpu`, made under another name and renamed when its last file is
 * written; its `receipt.json` lists what must be there.
 */
import { readFileSync, statSync } from 'node:fs'
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import * as z from 'zod'
import { type Flavour, flavours, libtorchVersion } from './manifest.js'

export type Environment = Readonly<Record<string, string | undefined>>

/** `DPM_TORCH_HOME`, else `$XDG_CACHE_HOME/dpm-torch`, else `~/.cache/dpm-torch`. */
export function cacheFolder(environment: Environment = process.env): string {
  if (environment.DPM_TORCH_HOME) return resolve(environment.DPM_TORCH_HOME)
  if (environment.XDG_CACHE_HOME) return resolve(environment.XDG_CACHE_HOME, 'dpm-torch')
  return join(homedir(), '.cache', 'dpm-torch')
}

export function entryFolder(flavour: Flavour, cache: string): string {
  return join(cache, `libtorch-${libtorchVersion}-${flavour}`)
}

const Receipt = z.object({
  /** Shape of this file. */
  format: z.literal(1),
  /** As libtorch itself spells it, e.g. `2.15.0+cu132`. */
  version: z.string(),
  flavour: z.enum(flavours),
  /** Where it came from, for people. */
  source: z.string(),
  /** The folder with `lib/` and `include/`, relative to the entry. */
  root: z.string(),
  /** Every library: path relative to the entry, and size. Headers are not listed: nothing loads them. */
  libraries: z.array(z.object({ path: z.string(), sizeBytes: z.int() })),
  /** Of all files. */
  totalBytes: z.int(),
})
export type Receipt = z.infer<typeof Receipt>

export const receiptName = 'receipt.json'

/** The receipt of a complete entry; null when there is none, or when a library is gone or was cut short since. */
export function readReceipt(entry: string): Receipt | null {
  let receipt: Receipt
  try {
    receipt = Receipt.parse(JSON.parse(readFileSync(join(entry, receiptName), 'utf8')))
  } catch {
    return null
  }
  const whole = receipt.libraries.every(({ path, sizeBytes }) => {
    return statSync(join(entry, path), { throwIfNoEntry: false })?.size === sizeBytes
  })
  return whole ? receipt : null
}
