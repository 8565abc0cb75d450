/** `dpm-torch inspect`: what a checkpoint, a run, or weights of another program hold; whether they compute what is stored. */
import { stat } from 'node:fs/promises'
import { Command, Option } from 'commander'
import type { Checkpoint } from '../checkpoints/checkpoint.js'
import type { SafetensorsFile, TensorEntry } from '../checkpoints/safetensors.js'
import { showBytes } from '../libtorch/progress.js'
import { formatDuration } from '../training/progress.js'
import { type CommonFlags, deviceFlag, finiteNumber, jsonFlag, type TrustFlags, trustFlag } from './flags.js'
import { printLine } from './print-line.js'
import { columns, count, examplesWord, shapeText, tensorLines } from './words.js'

export function inspectCommand(): Command {
  return new Command('inspect')
    .description('print what a checkpoint, a run folder or a file of weights holds, or verify what a model computes')
    .argument(
      '<file>',
      'a run folder (its latest checkpoint), a .safetensors, .pt, .pth or .bin file, or a folder of these with its configuration',
    )
    .addOption(
      new Option(
        '--verify <fixture>',
        'compare the output with a stored one: .safetensors or .json of input, labels, output',
      ),
    )
    .addOption(
      new Option('--tolerance <number>', 'largest difference, as a share of the largest stored value')
        .argParser(finiteNumber)
        .default(1e-4),
    )
    .addOption(deviceFlag())
    .addOption(trustFlag())
    .addOption(jsonFlag())
    .action(run)
}

interface InspectFlags extends CommonFlags, TrustFlags {
  readonly verify?: string
  readonly tolerance: number
  readonly device?: string
}

async function run(path: string, flags: InspectFlags): Promise<void> {
  if (flags.verify !== undefined) return verify(path, flags.verify, flags)
  const { readCheckpoint } = await import('../checkpoints/checkpoint-folder.js')
  const { Checkpoint } = await import('../checkpoints/checkpoint.js')
  const { SafetensorsFile } = await import('../checkpoints/safetensors.js')
  const { inspectSource, isForeign } = await import('./inspect-source.js')
  if (await isForeign(path)) return inspectSource(path, flags)
  const isFolder = await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  )
  const filePath = isFolder ? await checkpointPath(await readCheckpoint(path)) : path
  await using checkpoint = await Checkpoint.open(filePath)
  await using file = await SafetensorsFile.open(filePath)
  await printCheckpoint(checkpoint, file, flags)
}

/** Exit code 1 where the outputs are further apart than they may be. */
async function verify(
  path: string,
  fixture: string,
  { tolerance, device, json, trustTorchScript: trust = false }: InspectFlags,
): Promise<void> {
  const { loadModel } = await import('../generation/load-model.js')
  const { verifyOutput } = await import('../generation/verify-output.js')
  const model = await loadModel(path, { trust, ...(device === undefined ? {} : { device }) })
  using network = model.network
  const { largest, relative, elements } = await verifyOutput(network, fixture)
  const isSame = relative <= tolerance
  if (json) printLine(JSON.stringify({ path, fixture, largest, relative, elements, tolerance, isSame }))
  else {
    const share = `${relative.toExponential(2)} of the largest value`
    printLine(`The largest difference of ${count(elements)} numbers is ${largest.toExponential(2)}, ${share}.`)
    printLine(isSame ? `Within ${tolerance}.` : `Above ${tolerance}: this is not the model of the fixture.`)
  }
  if (!isSame) process.exitCode = 1
}

async function checkpointPath(checkpoint: Checkpoint): Promise<string> {
  await checkpoint.close()
  return checkpoint.path
}

async function printCheckpoint(checkpoint: Checkpoint, file: SafetensorsFile, flags: CommonFlags): Promise<void> {
  const { path, settings, progress, classes, image } = checkpoint
  const groups = groupsOf([...file.tensors.values()])
  if (flags.json) {
    printLine(JSON.stringify({ path, progress, image, classes, groups, settings, tensors: tensorRows(file) }))
    return
  }
  printLine(path)
  const name = String(settings['name'] ?? '')
  const seconds = Number(progress['seconds'] ?? Number.NaN)
  const rows = [
    ['recipe', name],
    ['progress', `${count(checkpoint.step)} steps${Number.isFinite(seconds) ? ` in ${formatDuration(seconds)}` : ''}`],
    [examplesWord(image), shapeText(image)],
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
  for (const line of columns(rows)) printLine(`  ${line}`)
  printLine(`\nSettings\n${JSON.stringify(settings, null, 2)}\n`)
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
  for (const line of tensorLines([...file.tensors.values()])) printLine(line)
}

function elementsOf({ shape }: TensorEntry): number {
  return shape.reduce((product, size) => product * size, 1)
}
