/**
 * The files that improved- and guided-diffusion leave: `model010000.pt`, one `ema_RATE_010000.pt` for each rate of
 * averaging, and `opt010000.pt`; each is a plain state dict. One of them is imported, or a folder of them: then its newest
 * step, with the averaged copies, the slowest first.
 */
import type { Weights } from '../archives/tensor-archive.js'
import type { ImportSource } from './import-source.js'
import { isOpenaiUnet } from './openai-unet.js'

export interface OpenaiFiles {
  readonly trained?: Weights
  readonly averages: readonly Weights[]
  readonly step: number
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
  const last = Math.max(...found.map(({ step }) => step))
  return found.filter(({ step }) => step === last).sort((a, b) => (b.rate ?? 2) - (a.rate ?? 2))
}

/** The tensors that the settings are read from: of the file, or of the newest of the folder. */
export async function openaiWeights(source: ImportSource): Promise<Weights | undefined> {
  if (!source.isFolder) return (await source.archive()).tensors
  const [first] = newest(source)
  return first && (await source.archive(first.name)).tensors
}

export async function recognisesOpenai(source: ImportSource): Promise<boolean> {
  const weights = await openaiWeights(source)
  return weights !== undefined && isOpenaiUnet(weights)
}

export async function readOpenaiFiles(source: ImportSource): Promise<OpenaiFiles> {
  if (!source.isFolder) {
    const weights = (await source.archive()).tensors
    const named = parseName(source.names[0] ?? '')
    const step = named?.step ?? 0
    return named?.rate === undefined ? { trained: weights, averages: [], step } : { averages: [weights], step }
  }
  const files = newest(source)
  const weightsOf = async ({ name }: FileName): Promise<Weights> => (await source.archive(name)).tensors
  const trained = files.find(({ rate }) => rate === undefined)
  return {
    ...(trained ? { trained: await weightsOf(trained) } : {}),
    averages: await Promise.all(files.filter(({ rate }) => rate !== undefined).map(weightsOf)),
    step: files[0]?.step ?? 0,
  }
}
