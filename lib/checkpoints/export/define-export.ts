/** A way of other programs to keep a model, and how one of ours is written so. Each is one file in this folder. */
import type { Checkpoint } from '../checkpoint.js'

export interface ExportRequest {
  /** The model, its settings and all copies of its weights. */
  readonly checkpoint: Checkpoint
  /** Which copy: `network`, `average.0`, … */
  readonly weights: string
  /** The file or folder to write. */
  readonly out: string
}

export interface Exported {
  /** The paths written. */
  readonly paths: readonly string[]
  /** What a user of the other program must know, a sentence each; nothing when absent. */
  readonly notes?: readonly string[]
}

export interface ExportDefinition {
  readonly name: string
  readonly description: string
  /** What `out` is. */
  readonly makes: 'file' | 'folder'
  /** @throws DpmError DPM_INVALID_OPTION for a model that the format cannot hold, DPM_WRITE_FAILED */
  write(request: ExportRequest): Promise<Exported>
}

export function defineExport(definition: ExportDefinition): ExportDefinition {
  return definition
}
