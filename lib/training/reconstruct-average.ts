/** Post-hoc averaging (Karras et al. 2024, arXiv 2312.02696, section 3.2): an average that a run did not keep, of those it did. */
import { dirname, join, resolve } from 'node:path'
import { Checkpoint, type CheckpointTensor, writeCheckpointTo } from '../checkpoints/checkpoint.js'
import type { JsonObject } from '../checkpoints/migrations.js'
import { DpmError, expected, throwIfAborted } from '../errors.js'
import { OutputPlaces } from '../files/output-places.js'
import { networkSchema } from '../networks/list.js'
import { carryProgram, placesNear, programOf, readyNetwork } from '../networks/program-file.js'
import { type Checks, checks, readOptions } from '../options/call-options.js'
import type { AveragingSettings } from './averaging.js'
import { largestDeviation, type PowerAverage, reconstruct } from './power-profile.js'
import { snapshotFiles, snapshotFolder } from './snapshots.js'

export interface ReconstructOptions {
  /** Relative standard deviation of the average: above 0, at most 0.288. */
  readonly deviation: number
  /** Updates that it has seen; those of the newest stored average when absent. */
  readonly at?: number | undefined
  /** A .safetensors file, replaced whole: a checkpoint with this average alone. */
  readonly out: string
  readonly signal?: AbortSignal | undefined
}

const reconstructChecks: Checks<ReconstructOptions> = {
  deviation: checks.any,
  at: checks.any,
  out: { ...checks.text, required: true },
  signal: checks.signal,
}

export interface ReconstructedAverage {
  readonly path: string
  readonly step: number
  readonly deviation: number
  /** Stored averages that it is a sum of. */
  readonly stored: number
  /** Distance of its profile from the one asked for, relative to its length. */
  readonly profileError: number
}

/** One stored average: where it is, and with what coefficient it counts. */
interface Source extends PowerAverage {
  readonly checkpoint: Checkpoint
  /** `average.0` */
  readonly prefix: string
}

/**
 * Makes an average of any deviation out of the power-function averages in a run's snapshots and checkpoints, up to a step.
 * @param run a run folder.
 * @throws DpmError DPM_INVALID_OPTION, DPM_INVALID_ARGUMENT, DPM_FILE_MISSING when nothing is stored, DPM_FILE_INVALID when
 *   files do not belong together, DPM_WRITE_FAILED, DPM_ABORTED
 */
export async function reconstructAverage(run: string, options: ReconstructOptions): Promise<ReconstructedAverage> {
  if (typeof run !== 'string') throw expected('the folder of a run', 'run', run)
  const { deviation, out, signal } = readOptions('reconstructAverage', options, reconstructChecks)
  if (!(deviation > 0 && deviation < largestDeviation)) {
    throw expected('a number above 0 and below 0.2887', 'deviation', deviation, '', 'DPM_INVALID_OPTION')
  }
  if (!out.endsWith('.safetensors')) {
    throw expected('a name that ends in .safetensors', 'out', out, '', 'DPM_INVALID_OPTION')
  }
  await using _ = await OutputPlaces.open([{ name: 'out', path: out, kind: 'file' }], [{ name: 'the run', path: run }])
  // A step in both folders is the same average twice: the snapshot's will do.
  const files = new Map([
    ...(await snapshotFiles(join(run, 'checkpoints'))),
    ...(await snapshotFiles(snapshotFolder(run))),
  ])
  const step = requireStep(options.at, [...files.keys()], run)
  const open: Checkpoint[] = []
  try {
    for (const [at, path] of files) if (at <= step) open.push(await Checkpoint.open(path))
    const sources = open.flatMap(sourcesOf)
    const last = open.reduce((newest, one) => (one.step > newest.step ? one : newest))
    if (sources.length === 0) {
      throw new DpmError(
        'DPM_FILE_MISSING',
        `The checkpoints of ${JSON.stringify(run)} hold no power-function averages that have seen the whole run. Train with {"kind": "power", "deviation": 0.05} and 0.1 in \`training.averaging\`, and \`checkpoints.snapshots.everySteps\`.`,
      )
    }
    const { coefficients, profileError } = reconstruct(sources, { step, deviation })
    const weighted = sources.map((source, i) => ({ source, coefficient: coefficients[i] ?? 0 }))
    await writeCheckpointTo(out, {
      settings: settingsWith(last.settings, deviation),
      progress: { ...last.progress, step, stored: sources.length, profileError },
      classes: last.classes,
      image: last.image,
      tensors: tensorsOf(weighted, last, signal),
    })
    await carryModule(last, out)
    return { path: out, step, deviation, stored: sources.length, profileError }
  } finally {
    for (const checkpoint of open) await checkpoint.close()
  }
}

function requireStep(at: number | undefined, steps: readonly number[], run: string): number {
  if (steps.length === 0) {
    throw new DpmError(
      'DPM_FILE_MISSING',
      `There are neither snapshots nor checkpoints in ${JSON.stringify(run)}. Name the folder of a run.`,
    )
  }
  const [first, newest] = [Math.min(...steps), Math.max(...steps)]
  if (at === undefined) return newest
  if (Number.isInteger(at) && at >= first && at <= newest) return at
  throw expected(`a step from ${first} to ${newest}, where averages are stored,`, 'at', at, '', 'DPM_INVALID_OPTION')
}

/**
 * What a file's own settings say of its averaged copies. One that began later than the run, as a copy of the weights of its step,
 * has another profile than a power function's: it does not count.
 */
function sourcesOf(checkpoint: Checkpoint): Source[] {
  const since = checkpoint.progress['averagesSince']
  const began = (index: number): number => (Array.isArray(since) ? Number(since[index] ?? 0) : 0)
  const training = checkpoint.settings['training'] as { readonly averaging?: readonly AveragingSettings[] } | undefined
  return (training?.averaging ?? []).flatMap((averaging, index) =>
    averaging.kind === 'power' && began(index) === 0
      ? [{ checkpoint, prefix: `average.${index}`, step: checkpoint.step, deviation: averaging.deviation }]
      : [],
  )
}

function settingsWith(settings: JsonObject, deviation: number): JsonObject {
  const training = settings['training'] as JsonObject
  return { ...settings, training: { ...training, averaging: [{ kind: 'power', deviation }] } }
}

/** The module of a TorchScript run goes where its average goes, unless it is lost: whoever draws from that will be told. */
async function carryModule({ settings, path }: Checkpoint, out: string): Promise<void> {
  const network = networkSchema.safeParse(settings['network'])
  if (!network.success || !programOf(network.data)) return
  const ready = await readyNetwork(network.data, placesNear(path)).catch((error: unknown) => {
    if (error instanceof DpmError && error.code === 'DPM_FILE_MISSING') return undefined
    throw error
  })
  if (ready && programOf(network.data)?.sha256) await carryProgram(ready, dirname(resolve(out)))
}

/** The sum, tensor by tensor as they are written: one of each file in memory at a time. */
function tensorsOf(
  weighted: readonly { readonly source: Source; readonly coefficient: number }[],
  last: Checkpoint,
  signal: AbortSignal | undefined,
): CheckpointTensor[] {
  const newest = weighted.findLast(({ source }) => source.checkpoint === last)?.source ?? weighted[0]?.source
  const prefix = newest?.prefix ?? ''
  return last.names(prefix).map((stored): CheckpointTensor => {
    const name = stored.slice(prefix.length + 1)
    const shape = last.info(stored)?.shape ?? []
    const read = isKept(last, name)
      ? () => last.read(stored)
      : async () => {
          throwIfAborted(signal, 'The averaging')
          const sum = new Float64Array(shape.reduce((product, extent) => product * extent, 1))
          for (const { source, coefficient } of weighted) {
            const values = await floatsOf(source, name, shape)
            for (let i = 0; i < sum.length; i++) sum[i] = (sum[i] ?? 0) + coefficient * (values[i] ?? 0)
          }
          return new Uint8Array(Float32Array.from(sum).buffer)
        }
    return { name: `average.0.${name}`, dtype: 'float32', shape, read }
  })
}

/** A snapshot says what its network keeps without learning it; in a checkpoint that is what the optimizer has no moments of. */
function isKept(checkpoint: Checkpoint, name: string): boolean {
  const kept = checkpoint.progress['kept']
  return Array.isArray(kept) ? kept.includes(name) : !checkpoint.has(`optimizer.first.${name}`)
}

async function floatsOf({ checkpoint, prefix }: Source, name: string, shape: readonly number[]): Promise<Float32Array> {
  const info = checkpoint.info(`${prefix}.${name}`)
  if (info?.dtype !== 'float32' || info.shape.join() !== shape.join()) {
    throw new DpmError(
      'DPM_FILE_INVALID',
      `${JSON.stringify(checkpoint.path)} has no float32 tensor of shape ${shape.join('×')} named "${prefix}.${name}": it is of another network. Move it elsewhere.`,
    )
  }
  const bytes = await checkpoint.read(`${prefix}.${name}`)
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4)
}
