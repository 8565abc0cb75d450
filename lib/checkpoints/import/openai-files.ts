/**
 * The files that improved- and guided-diffusion leave: `model010000.pt`, one `ema_RATE_010000.pt` for each rate of
 * averaging, and `opt010000.pt`; each is a plain state dict. One of them is imported, or a folder of them: then its newest
 * step, with the averaged copies, the slowest first.
 */

import { DpmError } from '../../errors.js'
import type { Weights } from '../archives/tensor-archive.js'
import { anyCopy, findCopies, type NetworkNames } from './copies.js'
import type { ImportSource } from './import-source.js'
import { isOpenaiClassifier, isOpenaiUnet } from './openai-unet.js'

export interface OpenaiFiles {
  readonly trained?: Weights
  readonly averages: readonly Weights[]
  readonly step: number
  readonly notes: readonly string[]
}

interface FileName {
  readonly name: string
  /** Undefined for the weights as trained. */
  readonly rate: number | undefined
  readonly step: number
}

function parseName(name: string): FileName | undefined {
  const [, rate, averagedStep] = /^ema_([0-9.]+)_(\d{1,12})\.pt$/.exec(name) ?? []
  if (rate !== undefined) return { name, rate: Number(rate), step: Number(averagedStep) }
  const [, step] = /^model(\d{1,12})\.pt$/.exec(name) ?? []
  return step === undefined ? undefined : { name, rate: undefined, step: Number(step) }
}

function newest(source: ImportSource): readonly FileName[] {
  const found = source.names.flatMap((name) => parseName(name) ?? [])
  const last = found.reduce((most, { step }) => Math.max(most, step), -1)
  return found.filter(({ step }) => step === last).sort((a, b) => (b.rate ?? 2) - (a.rate ?? 2))
}

/** Names that a U-Net of theirs and a classifier share. */
const anchor = /(?:^|\.)input_blocks\.0\.0\.weight$/

export const openaiNames: NetworkNames = { anchor, isNetwork: isOpenaiUnet }
export const openaiClassifierNames: NetworkNames = { anchor, isNetwork: isOpenaiClassifier }

/** The tensors that the settings are read from: of the file, or of the newest of the folder. */
export async function openaiWeights(
  source: ImportSource,
  names: NetworkNames,
  choice?: string,
): Promise<Weights | undefined> {
  const [first] = source.isFolder ? newest(source) : [undefined]
  if (source.isFolder && !first) return undefined
  const copies = findCopies(await source.archive(first?.name), names, choice)
  return copies?.trained ?? copies?.averages[0]
}

/** The tensors of some copy, to tell a source by; undefined where there is none. */
export async function anyOpenaiWeights(source: ImportSource, names: NetworkNames): Promise<Weights | undefined> {
  const [first] = source.isFolder ? newest(source) : [undefined]
  if (source.isFolder && !first) return undefined
  return anyCopy((await source.archive(first?.name)).tensors, names)
}

export async function readOpenaiFiles(
  source: ImportSource,
  names: NetworkNames,
  choice?: string,
): Promise<OpenaiFiles> {
  if (!source.isFolder) {
    const copies = findCopies(await source.archive(), names, choice)
    if (!copies) throw new DpmError('DPM_INTERNAL', 'The weights were there when they were looked for.')
    const named = parseName(source.names[0] ?? '')
    const { trained, averages, notes } = copies
    const step = named?.step ?? copies.step ?? 0
    // Of a file of averaged weights its name says it.
    if (named?.rate !== undefined) return { averages: [...(trained ? [trained] : []), ...averages], step, notes }
    return { ...(trained ? { trained } : {}), averages, step, notes }
  }
  const files = newest(source)
  const weightsOf = async ({ name }: FileName): Promise<Weights> => {
    const copies = findCopies(await source.archive(name), names, choice)
    const weights = copies?.trained ?? copies?.averages[0]
    if (weights) return weights
    throw new DpmError(
      'DPM_FILE_INVALID',
      `${JSON.stringify(`${source.path}/${name}`)} holds another network than the files beside it.`,
    )
  }
  const trained = files.find(({ rate }) => rate === undefined)
  return {
    ...(trained ? { trained: await weightsOf(trained) } : {}),
    averages: await Promise.all(files.filter(({ rate }) => rate !== undefined).map(weightsOf)),
    step: files[0]?.step ?? 0,
    notes: [],
  }
}
