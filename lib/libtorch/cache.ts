/**
 * The folder where `setup` keeps libtorch, and the receipt that says an entry of it is complete.
 *
 * An entry is one folder, e.g. `libtorch-2.15.0-cpu`, made under another name and renamed when its last file is
 * written; its `receipt.json` lists what must be there.
 */
import { readFileSync, statSync } from 'node:fs'
import { homedir, userInfo } from 'node:os'
import { isAbsolute, join, resolve } from 'node:path'
import * as z from 'zod'
import { DpmError, expected } from '../errors.js'
import { type Flavour, flavours, libtorchVersion } from './manifest.js'

export type Environment = Readonly<Record<string, string | undefined>>

/**
 * `DPM_TORCH_HOME`, else `$XDG_CACHE_HOME/dpm-torch`, else `~/.cache/dpm-torch`; always absolute. A relative `XDG_CACHE_HOME` counts as
 * none, as its specification asks.
 * @throws DpmError DPM_INVALID_OPTION for a relative `DPM_TORCH_HOME`.
 */
export function cacheFolder(environment: Environment = process.env): string {
  if (environment.DPM_TORCH_HOME) return resolve(requireAbsolute(environment.DPM_TORCH_HOME, 'DPM_TORCH_HOME'))
  const { XDG_CACHE_HOME: shared } = environment
  if (shared && isAbsolute(shared)) return resolve(shared, 'dpm-torch')
  // HOME may be empty or relative; the list of users is not.
  const home = [homedir(), userInfo().homedir].find((folder) => isAbsolute(folder)) ?? '/'
  return join(home, '.cache', 'dpm-torch')
}

/**
 * Native code is loaded from there: a relative path would name another folder wherever the user stands.
 * @throws DpmError DPM_INVALID_OPTION
 */
export function requireAbsolute(path: string, name: string): string {
  if (isAbsolute(path)) return path
  throw expected(
    'an absolute path',
    name,
    path,
    `Libraries are loaded from there, whatever folder a program is started in: write ${resolve(path)}, or unset ${name}.`,
    'DPM_INVALID_OPTION',
  )
}

/** Mode of what any user may write to. */
const writableByAll = 0o002

/**
 * Whoever can write to the entry, or has put one into a cache that all can write to, could make us run their code.
 * @throws DpmError DPM_LIBTORCH_MISMATCH
 */
export function requireSafeEntry(cache: string, entry: string): void {
  const [whole, own] = [statSync(cache), statSync(entry)]
  const isShared = (whole.mode & writableByAll) !== 0
  const trusted = [0, process.geteuid?.() ?? 0, ...(isShared ? [] : [whole.uid])]
  const why =
    (own.mode & writableByAll) !== 0
      ? 'can be written by every user'
      : trusted.includes(own.uid)
        ? undefined
        : `belongs to another user (${own.uid}), in a cache that every user can write to`
  if (why === undefined) return
  throw new DpmError(
    'DPM_LIBTORCH_MISMATCH',
    `The libtorch in ${entry} ${why}, and its code would run as you. Run \`chmod -R o-w ${entry}\` if it is yours and nobody else ` +
      'has been there, or `npx dpm-torch setup --force`; or set DPM_TORCH_HOME to a folder of your own.',
    { details: { entry, uid: own.uid, mode: own.mode } },
  )
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
  /** The folder with `lib/` and `include/`, relative to the entry; never outside it. */
  root: z.string().refine((root) => root !== '' && !isAbsolute(root) && !root.split('/').includes('..')),
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
