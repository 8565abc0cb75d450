/** Flags that several commands have, and how their values are read. */
import { InvalidArgumentError, Option } from 'commander'
import type { Assignment } from '../options/assign.js'
import { parseAssignment } from '../options/assign.js'
import { parseSeed } from '../options/seed.js'

/** What every command takes. */
export interface CommonFlags {
  /** Print the result as JSON on standard output. */
  readonly json?: boolean
  /** Print the stack of an error. */
  readonly verbose?: boolean
}

/** Reads a whole number. @param least the smallest that is allowed. */
export function wholeNumber(least: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (/^[0-9]+$/.test(text) && Number.isSafeInteger(value) && value >= least) return value
    throw new InvalidArgumentError(`Expected a whole number of at least ${least}.`)
  }
}

export function finiteNumber(text: string): number {
  const value = Number(text)
  if (text.trim() !== '' && Number.isFinite(value)) return value
  throw new InvalidArgumentError('Expected a number.')
}

export function jsonFlag(): Option {
  return new Option('--json', 'print the result as JSON on standard output')
}

export function seedFlag(what: string): Option {
  return new Option('--seed <number>', what).argParser((text) => {
    try {
      return parseSeed(text)
    } catch {
      throw new InvalidArgumentError('Expected a whole number from 0 to 2^64 - 1.')
    }
  })
}

export function deviceFlag(): Option {
  return new Option('--device <device>', 'auto, cpu, cuda or cuda:N')
}

export function precisionFlag(): Option {
  return new Option('--precision <name>', 'arithmetic of the network').choices([
    'float32',
    'tf32',
    'bfloat16',
    'float16',
  ])
}

/** Of commands that run a model from a file, which may name a program. */
export interface TrustFlags {
  readonly trustTorchScript?: boolean
}

export function trustFlag(): Option {
  return new Option(
    '--trust-torch-script',
    'run the TorchScript module that the files name: a program, which can read and write files',
  )
}

/** Whether `--set` names the module itself: then it is the user's own choice. */
export function choosesProgram(changes: readonly Assignment[] | undefined): boolean {
  return (changes ?? []).some(({ path, value }) => {
    const [part, option] = path
    const isFile =
      option === undefined ? typeof value === 'object' && value !== null && 'file' in value : option === 'file'
    return part === 'network' && isFile
  })
}

/** `--set a.b=c`, any number of times. */
export function setFlag(what: string): Option {
  return new Option('--set <path=value>', what)
    .argParser((text: string, before: readonly Assignment[] | undefined) => [...(before ?? []), parseAssignment(text)])
    .default(undefined)
}
