/** The command line as its users meet it: processes of their own, run folders in a temporary place. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { SafetensorsFile } from '../../lib/checkpoints/safetensors.js'
import type { UnetOptions } from '../../lib/networks/unet.js'
import type { RunOptions } from '../../lib/training/run-options.js'

export const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))

export interface CommandEnd {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

export interface RunningCommand {
  readonly child: ChildProcess
  readonly end: Promise<CommandEnd>
}

/**
 * Starts a command, or another script. It sees no CUDA device and takes one thread, so that what is tested is the same on
 * every machine, and quick on one that has other work.
 */
export function start(args: readonly string[], folder: string, script: string = main): RunningCommand {
  const child = spawn(process.execPath, [script, ...args], {
    cwd: folder,
    env: { ...process.env, NODE_OPTIONS: '', CUDA_VISIBLE_DEVICES: '', OMP_NUM_THREADS: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    stdout += chunk
  })
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    stderr += chunk
  })
  const end = new Promise<CommandEnd>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr }))
  })
  return { child, end }
}

export function command(args: readonly string[], folder: string, script: string = main): Promise<CommandEnd> {
  return start(args, folder, script).end
}

/** A folder that goes with the test file. */
export function makeFolder(): { readonly path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), 'dpm-torch-command-'))
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) }
}

/** 8×8 grey pictures in the form of MNIST's files: a bright square whose place is the class. */
export function writeIdx(folder: string, count = 40, size = 8): void {
  const images = Buffer.alloc(16 + count * size * size)
  images.writeUInt32BE(0x803, 0)
  for (const [index, value] of [count, size, size].entries()) images.writeUInt32BE(value, 4 + 4 * index)
  const labels = Buffer.alloc(8 + count)
  labels.writeUInt32BE(0x801, 0)
  labels.writeUInt32BE(count, 4)
  for (let example = 0; example < count; example++) {
    const label = example % 10
    labels[8 + example] = label
    const top = Math.floor(label / 5) * 4
    for (let y = 0; y < 4; y++) {
      images.fill(
        128 + example,
        16 + (example * size + top + y) * size + (label % 5),
        20 + (example * size + top + y) * size + (label % 5),
      )
    }
  }
  writeFileSync(join(folder, 'train-images-idx3-ubyte'), images)
  writeFileSync(join(folder, 'train-labels-idx1-ubyte'), labels)
}

/** Class-conditional, with dropout, flips and two averaged copies: everything that a resume must get right. */
export function tinyOptions(folder: string): RunOptions & { readonly network: UnetOptions } {
  return {
    data: { kind: 'idx', folder },
    network: {
      kind: 'unet',
      channels: 8,
      multipliers: [1, 2],
      blocks: 1,
      attentionResolutions: [4],
      groups: 4,
      dropout: 0.1,
      classConditional: true,
    },
    diffusion: { schedule: { kind: 'linear', steps: 50, scaleToSteps: true } },
    training: {
      batch: 8,
      flip: true,
      learningRate: { peak: 1e-3, warmupSteps: 5, decay: 'cosine' },
      averaging: [
        { kind: 'constant', decay: 0.9 },
        { kind: 'power', deviation: 0.1 },
      ],
    },
    budget: { steps: 40 },
    previews: { everySteps: 16, steps: 3, columns: 2, rows: 2 },
    checkpoints: { everySteps: 7 },
    log: { everySteps: 1 },
    threads: 1,
  }
}

/** Writes `tiny.json` and its data. */
export function writeTinyRecipe(folder: string): void {
  writeIdx(folder)
  writeFileSync(join(folder, 'tiny.json'), JSON.stringify(tinyOptions('.')))
}

/** Every tensor of a safetensors file, as hexadecimal digits where they are few, else as their bytes. */
export async function tensorsOf(path: string): Promise<Map<string, Buffer>> {
  const file = await SafetensorsFile.open(path)
  try {
    const tensors = new Map<string, Buffer>()
    for (const name of file.tensors.keys()) tensors.set(name, Buffer.from(await file.readTensor(name)))
    return tensors
  } finally {
    await file.close()
  }
}

/** Names of the tensors that differ, or that only one of the files has. */
export async function differences(one: string, other: string): Promise<string[]> {
  const [a, b] = [await tensorsOf(one), await tensorsOf(other)]
  return [...new Set([...a.keys(), ...b.keys()])].filter((name) => {
    const [left, right] = [a.get(name), b.get(name)]
    return !left || !right || !left.equals(right)
  })
}

export function checkpointPath(run: string, step: number): string {
  return join(run, 'checkpoints', `step-${String(step).padStart(8, '0')}.safetensors`)
}

export interface MetricsLine {
  readonly step: number
  readonly loss: number
  readonly [name: string]: number
}

/** The lines of metrics.jsonl that are whole. */
export function readMetrics(run: string): MetricsLine[] {
  let text = ''
  try {
    text = readFileSync(join(run, 'metrics.jsonl'), 'utf8')
  } catch {
    return []
  }
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as MetricsLine)
}

/** Resolves when something is so, looked at every millisecond; false when the process ended first. */
export async function until(running: RunningCommand, isSo: () => boolean): Promise<boolean> {
  let ended = false
  void running.end.then(() => {
    ended = true
  })
  while (!ended) {
    if (isSo()) return true
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
  return false
}

/** Whether a checkpoint is being written at this moment. */
export function isWritingCheckpoint(run: string): boolean {
  try {
    return readdirSync(join(run, 'checkpoints')).some((name) => name.startsWith('.step') && name.endsWith('.part'))
  } catch {
    return false
  }
}
