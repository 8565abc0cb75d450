/**
 * Where a run was started: what relative paths in its settings count from, in whatever folder it goes on. Kept in config.json,
 * absolute and as seen from the run folder; not in checkpoints, which travel.
 */
import { readFile, stat } from 'node:fs/promises'
import { dirname, isAbsolute, join, relative, resolve } from 'node:path'
import * as z from 'zod'
import { type DataSettings, datasets } from '../datasets/list.js'
import { pathKeys } from '../options/path-option.js'
import { runFiles } from './run-places.js'

export const startedInSchema = z
  .strictObject({ folder: z.string(), fromRun: z.string() })
  .nullable()
  .default(null)
  .describe('what relative paths in `data` count from, absolute and as seen from the run folder; set when a run begins')
export type StartedIn = z.output<typeof startedInSchema>

/** Of a run that begins now. */
export function startedHere(run: string): NonNullable<StartedIn> {
  return { folder: resolve('.'), fromRun: relative(resolve(run), resolve('.')) || '.' }
}

/**
 * The data's options with whole paths: as seen from where the run was started, or where that is gone from where that lies now as
 * seen from the run folder, which may have been moved with it; the current folder is the last to be asked.
 * @param run the run folder, where there is one. @param warn hears where a path is taken from the current folder instead.
 */
export async function withWholePaths(
  data: DataSettings,
  { startedIn, run }: { readonly startedIn: StartedIn; readonly run?: string | undefined },
  warn?: (message: string) => void,
): Promise<DataSettings> {
  if (!startedIn) return data
  const changes: Record<string, string> = {}
  for (const key of pathKeys(datasets[data.kind].schema as z.ZodObject)) {
    const path: unknown = (data as Readonly<Record<string, unknown>>)[key]
    if (typeof path !== 'string' || isAbsolute(path)) continue
    const first = resolve(startedIn.folder, path)
    const moved = run === undefined ? [] : [resolve(run, startedIn.fromRun, path)]
    const found = await firstThatIs([first, ...moved, resolve(path)])
    changes[key] = found ?? first
    if (found === resolve(path) && found !== first && !moved.includes(found))
      warn?.(`\`data.${key}\` is taken from ${found}: there is no ${first}, where the run was started.`)
  }
  return { ...data, ...changes }
}

/** Relative paths that are given now, when a run goes on, count from the current folder: they are kept whole. */
export function withChangedPathsWhole(before: DataSettings, after: DataSettings): DataSettings {
  const old = before as Readonly<Record<string, unknown>>
  const changes = pathKeys(datasets[after.kind].schema as z.ZodObject).flatMap((key): [string, string][] => {
    const path: unknown = (after as Readonly<Record<string, unknown>>)[key]
    return typeof path === 'string' && (before.kind !== after.kind || path !== old[key]) ? [[key, resolve(path)]] : []
  })
  return { ...after, ...Object.fromEntries(changes) }
}

/** What the run says that a run folder, its checkpoints' folder or a checkpoint in it belongs to. */
export async function startedInOf(path: string): Promise<{ readonly startedIn: StartedIn; readonly run?: string }> {
  for (const run of [path, dirname(path), dirname(dirname(resolve(path)))]) {
    const text = await readFile(join(run, runFiles.config), 'utf8').catch(() => undefined)
    if (text === undefined) continue
    try {
      const config: unknown = JSON.parse(text)
      return { startedIn: startedInSchema.parse((config as { readonly startedIn?: unknown }).startedIn), run }
    } catch {
      break
    }
  }
  return { startedIn: null }
}

async function firstThatIs(paths: readonly string[]): Promise<string | undefined> {
  for (const path of paths) {
    const found = await stat(path).then(
      () => true,
      () => false,
    )
    if (found) return path
  }
  return undefined
}
