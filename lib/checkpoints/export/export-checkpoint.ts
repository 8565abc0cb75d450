/** Writes the model of a run or checkpoint in the form of another program. */
import { expected } from '../../errors.js'
import { requireFolderName, requireNoOtherEnding } from '../../files/name-endings.js'
import { OutputPlaces } from '../../files/output-places.js'
import { readCheckpoint } from '../checkpoint-folder.js'
import type { ExportDefinition } from './define-export.js'
import { exporters } from './list.js'

export interface ExportOptions {
  readonly out: string
  /** One of the exporters. */
  readonly format: string
  /** `trained`, or the index of an averaged copy; the first averaged copy where there is one when absent. */
  readonly weights?: number | 'trained'
}

export interface ExportReport {
  readonly paths: readonly string[]
  readonly format: string
  /** The copy that was written: `network`, `average.0`, … */
  readonly weights: string
  /** What a user of the other program must know, a sentence each. */
  readonly notes: readonly string[]
}

/** @throws DpmError DPM_FILE_MISSING, DPM_FILE_INVALID, DPM_INVALID_OPTION, DPM_WRITE_FAILED */
export async function exportCheckpoint(run: string, options: ExportOptions): Promise<ExportReport> {
  const { out, format } = options
  const known: Readonly<Record<string, ExportDefinition>> = exporters
  const exporter = Object.hasOwn(known, format) ? known[format] : undefined
  if (!exporter) {
    throw expected(`one of ${Object.keys(known).join(', ')}`, 'format', format, '', 'DPM_INVALID_OPTION')
  }
  await using checkpoint = await readCheckpoint(run)
  const chosen = options.weights ?? (checkpoint.averages > 0 ? 0 : 'trained')
  const weights = chosen === 'trained' ? 'network' : `average.${chosen}`
  if (checkpoint.names(weights).length === 0) {
    const last = checkpoint.averages - 1
    const choices = last < 0 ? 'trained' : `trained, or an index from 0 to ${last}`
    throw expected(choices, 'weights', chosen, '', 'DPM_INVALID_OPTION')
  }
  requireName[exporter.makes](out)
  await using _ = await OutputPlaces.open(
    [{ name: 'out', path: out, kind: exporter.makes }],
    [{ name: 'the checkpoint', path: run }],
  )
  const { paths, notes = [] } = await exporter.write({ checkpoint, weights, out })
  return { paths, format, weights, notes }
}

const requireName: Readonly<Record<ExportDefinition['makes'], (out: string) => void>> = {
  file: (out) => requireNoOtherEnding(out, 'out', ['.safetensors']),
  folder: (out) => requireFolderName(out, 'out'),
}
