/** Runs that are killed at random instants, with all that a run writes, and go on: to the bytes of one that was never killed. */
import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { runFolders } from '../../lib/training/run-places.js'
import {
  checkpointPath,
  command,
  differences,
  type MetricsLine,
  readMetrics,
  start,
  tinyOptions,
  writeIdx,
} from './command.js'

const steps = 40

/** Writes `killed.json`, its data, and trains it once from end to end. */
export async function prepareKilledRuns(folder: string): Promise<void> {
  writeIdx(folder)
  const tiny = tinyOptions('.')
  const killed = {
    ...tiny,
    budget: { steps },
    previews: { everySteps: 5, steps: 2, columns: 2, rows: 1, animation: false },
    checkpoints: { everySteps: 7, snapshots: { everySteps: 3 }, keep: { last: 2 } },
    log: { everySteps: 4 },
  }
  writeFileSync(join(folder, 'killed.json'), JSON.stringify(killed))
  const end = await command(['train', 'killed.json', '--out', 'straight'], folder)
  if (end.code !== 0) throw new Error(end.stderr)
}

/**
 * Trains `killed.json` in a folder of its own, and kills it up to `kills` times, each after so many milliseconds that are drawn.
 * @returns what is wrong with the end; empty where it is that of the straight run.
 */
export async function killedRun(folder: string, name: string, kills: number, random: () => number): Promise<string[]> {
  const [run, straight] = [join(folder, name), join(folder, 'straight')]
  for (let kill = 0; kill < kills; kill++) {
    const running = start(['train', ...beginOrGoOn(run), '--out', name], folder)
    // Most of it is the start of a process; what is written comes after that.
    const wait = setTimeout(200 + 2500 * random(), undefined, { ref: false })
    await Promise.race([running.end, wait])
    running.child.kill('SIGKILL')
    const end = await running.end
    if (end.signal === null && end.code !== 0) return [`round ${kill}: ${end.stderr}`]
    if (end.code === 0) break
  }
  const end = await command(['train', ...beginOrGoOn(run), '--out', name], folder)
  if (end.code !== 0) return [end.stderr]
  const wrong = await differences(checkpointPath(run, steps), checkpointPath(straight, steps))
  if (JSON.stringify(curves(run)) !== JSON.stringify(curves(straight))) wrong.push('metrics.jsonl')
  for (const inside of ['', ...Object.keys(runFolders)]) {
    const [names, wanted] = [namesIn(join(run, inside)), namesIn(join(straight, inside))]
    const left = inside === 'tensorboard' ? [] : names.filter((one) => !wanted.includes(one))
    const missing = inside === 'tensorboard' ? [] : wanted.filter((one) => !names.includes(one))
    wrong.push(
      ...left.map((one) => `left: ${join(inside, one)}`),
      ...missing.map((one) => `missing: ${join(inside, one)}`),
    )
  }
  for (const snapshot of namesIn(join(straight, 'snapshots'))) {
    wrong.push(...(await differences(join(run, 'snapshots', snapshot), join(straight, 'snapshots', snapshot))))
  }
  return wrong
}

/** A run that was killed before its settings were there begins; any other goes on. */
function beginOrGoOn(run: string): string[] {
  return namesIn(run).includes('config.json') ? ['--resume'] : ['killed.json']
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

/** Without what is measured. */
function curves(run: string): unknown {
  return readMetrics(run).map(({ seconds: _, imagesPerSecond: __, ...rest }: MetricsLine) => rest)
}
