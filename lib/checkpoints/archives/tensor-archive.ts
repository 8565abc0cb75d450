/** Weights as other programs store them: tensors by the names they have there, whatever the file's format. */
import type { SafetensorsDType } from '../safetensors-header.js'

export interface ArchiveTensor {
  readonly name: string
  readonly dtype: SafetensorsDType
  readonly shape: readonly number[]
  /** The elements in row-major order, little-endian. @throws DpmError DPM_FILE_INVALID */
  read(): Promise<Uint8Array<ArrayBuffer>>
}

/** Tensors by name, in the file's order. */
export type Weights = ReadonlyMap<string, ArchiveTensor>

/** What a file holds beside tensors: a step, a setting. */
export type ArchiveValue = string | number | boolean | null

export interface TensorArchive extends AsyncDisposable {
  readonly path: string
  /** The format, as a person would say it: `safetensors`, `PyTorch (zip)`. */
  readonly format: string
  /** Names of what is nested are joined with dots: `ema.shadow_params.0`. */
  readonly tensors: Weights
  readonly values: ReadonlyMap<string, ArchiveValue>
  /** Doing it twice is harmless. */
  close(): Promise<void>
}

/** The tensors whose names begin with `prefix`, without it. */
export function under(weights: Weights, prefix: string): Weights {
  const found = [...weights].filter(([name]) => name.startsWith(prefix))
  return new Map(found.map(([name, tensor]) => [name.slice(prefix.length), tensor]))
}
