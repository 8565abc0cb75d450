/** `dpm-torch inspect`: what a checkpoint, a run or any safetensors file holds. */
import { stat } from 'node:fs/promises'
import { Command } from 'commander'
import type { Checkpoint } from '../checkpoints/checkpoint.js'
import type { SafetensorsFile, TensorEntry } from '../checkpoints/safetensors.js'
import { showBytes } from '../libtorch/progress.js'
import { formatDuration } from '../training/progress.js'
import { type CommonFlags, jsonFlag } from './flags.js'
import { columns, count, shapeText } from './words.js'

export function inspectCommand(): Command {
  return new Command('inspect')
    .description('print what a checkpoint, a run folder or any safetensors file holds')
    .argument('<file>', 'a .safetensors file, or a run folder, whose latest checkpoint is taken')
    .addOption(jsonFlag())
    .action(run)
}

async function run(path: string, flags: CommonFlags): Promise<void> {
  const { readCheckpoint } = await import('../checkpoints/checkpoint-folder.js')
  const { Checkpoint } = await import('../checkpoints/checkpoint.js')
  const { SafetensorsFile } = await import('../checkpoints/safetensors.js')
  const isFolder = await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  )
  const filePath = isFolder ? await checkpointPath(await readCheckpoint(path)) : path
  const file = await SafetensorsFile.open(filePath)
  try {
    if (file.metadata.get('format') !== 'dpm-torch') return await printFile(file, flags)
    await using checkpoint = await Checkpoint.open(filePath)
    await printCheckpoint(checkpoint, file, flags)
  } finally {
    await file.close()
  }
}

async function checkpointPath(checkpoint: Checkpoint): Promise<string> {
  await checkpoint.close()
  return checkpoint.path
}

async function printCheckpoint(checkpoint: Checkpoint, file: SafetensorsFile, flags: CommonFlags): Promise<void> {
  const { path, settings, progress, classes, image } = checkpoint
  const groups = groupsOf([...file.tensors.values()])
  if (flags.json) {
    console.log(JSON.stringify({ path, progress, image, classes, groups, settings, tensors: tensorRows(file) }))
    return
  }
  console.log(path)
  const name = String(settings['name'] ?? '')
  const seconds = Number(progress['seconds'] ?? Number.NaN)
  const rows = [
    ['recipe', name],
    ['progress', `${count(checkpoint.step)} steps${Number.isFinite(seconds) ? ` in ${formatDuration(seconds)}` : ''}`],
    ['images', shapeText(image)],
    [
      'classes',
      classes.length === 0
        ? 'none'
        : `${count(classes.length)}: ${classes.slice(0, 20).join(', ')}${classes.length > 20 ? ' …' : ''}`,
    ],
    ...groups.map(({ name: group, tensors, elements, bytes }) => [
      group,
      `${count(elements)} numbers in ${count(tensors)} tensors, ${showBytes(bytes)}`,
    ]),
  ]
  for (const line of columns(rows)) console.log(`  ${line}`)
  console.log(`\nSettings\n${JSON.stringify(settings, null, 2)}\n`)
  printTensors(file)
}

async function printFile(file: SafetensorsFile, flags: CommonFlags): Promise<void> {
  const metadata = Object.fromEntries(file.metadata)
  if (flags.json) {
    console.log(JSON.stringify({ path: file.path, metadata, tensors: tensorRows(file) }))
    return
  }
  console.log(`${file.path}: a safetensors file, not a checkpoint of dpm-torch`)
  for (const [name, value] of Object.entries(metadata)) {
    console.log(`  ${name}: ${value.length > 200 ? `${value.slice(0, 200)}…` : value}`)
  }
  console.log('')
  printTensors(file)
}

interface Group {
  readonly name: string
  readonly tensors: number
  readonly elements: number
  readonly bytes: number
}

/** `network`, `average.0`, `optimizer.first`, …: a tensor's name without that of its parameter. */
function groupsOf(tensors: readonly TensorEntry[]): Group[] {
  const groups = new Map<string, Group>()
  for (const tensor of tensors) {
    const name = /^(average|learned|optimizer)\.[^.]+|^[^.]+/.exec(tensor.name)?.[0] ?? tensor.name
    const before = groups.get(name) ?? { name, tensors: 0, elements: 0, bytes: 0 }
    groups.set(name, {
      name,
      tensors: before.tensors + 1,
      elements: before.elements + elementsOf(tensor),
      bytes: before.bytes + tensor.end - tensor.begin,
    })
  }
  return [...groups.values()]
}

function tensorRows(file: SafetensorsFile): { name: string; dtype: string; shape: readonly number[] }[] {
  return [...file.tensors.values()].map(({ name, dtype, shape }) => ({ name, dtype, shape }))
}

function printTensors(file: SafetensorsFile): void {
  const rows = [...file.tensors.values()].map((tensor) => [
    tensor.name,
    tensor.dtype,
    tensor.shape.join('×') || 'scalar',
    count(elementsOf(tensor)),
  ])
  for (const line of columns([['tensor', 'type', 'shape', 'numbers'], ...rows])) console.log(line)
}

function elementsOf({ shape }: TensorEntry): number {
  return shape.reduce((product, size) => product * size, 1)
}
