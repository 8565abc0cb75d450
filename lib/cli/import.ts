/** `dpm-torch import`: a model of another program as a checkpoint of ours. */
import { Command, Option } from 'commander'
import type { ImportReport } from '../checkpoints/import/import-checkpoint.js'
import type { Assignment } from '../options/assign.js'
import { type CommonFlags, jsonFlag, setFlag } from './flags.js'
import { interruptible } from './interrupt.js'
import { printLine } from './print-line.js'
import { columns, count, shapeText } from './words.js'

interface ImportFlags extends CommonFlags {
  readonly out: string
  readonly format?: string
  readonly set?: readonly Assignment[]
  readonly allowNonFinite?: boolean
}

export function importCommand(): Command {
  return new Command('import')
    .description('make a checkpoint from the weights of another program; `dpm-torch list importers` names the formats')
    .argument(
      '<source>',
      'a file of weights (.safetensors, .pt, .pth, .bin), or a folder with weights and configuration',
    )
    .addOption(new Option('--out <file>', 'the checkpoint to write').makeOptionMandatory())
    .option('--format <name>', 'what the source is, where it cannot be told by looking')
    .addOption(setFlag('a choice that the source leaves open, or a changed setting (network.…, diffusion.…)'))
    .option('--allow-non-finite', 'import weights that are NaN or infinite too, which are refused otherwise')
    .addOption(jsonFlag())
    .action(run)
}

async function run(source: string, { out, format, set, allowNonFinite, json }: ImportFlags): Promise<void> {
  const { importCheckpoint } = await import('../checkpoints/import/import-checkpoint.js')
  const choices = {
    ...(format ? { format } : {}),
    ...(set ? { set } : {}),
    ...(allowNonFinite ? { allowNonFinite } : {}),
  }
  const report = await interruptible(
    (signal) => importCheckpoint(source, { out, signal, ...choices }),
    () => process.stderr.write('Stopping.\n'),
  )
  if (json) {
    printLine(JSON.stringify(report))
    return
  }
  print(report)
}

function print({ path, format, settings, size, copies, notes }: ImportReport): void {
  const { network, diffusion, sampling, image, classes } = settings
  printLine(path)
  const rows = [
    ['from', format],
    ['network', `${network.kind}, ${count(size)} parameters`],
    ['weights', copies.join(', ')],
    ['images', shapeText(image)],
    ['classes', classes.length === 0 ? 'none' : count(classes.length)],
    [
      'diffusion',
      `${diffusion.schedule.kind} schedule, predicts ${diffusion.prediction.kind}, variance ${diffusion.variance}`,
    ],
  ]
  if (sampling.sampler) rows.push(['sampling', samplingText(sampling)])
  for (const line of columns(rows)) printLine(`  ${line}`)
  for (const note of notes) printLine(`  Note: ${note}`)
  printLine(`\nDraw from it with \`dpm-torch sample ${path}\`; \`dpm-torch inspect ${path}\` prints its settings.`)
}

function samplingText({ sampler, steps, spacing }: ImportReport['settings']['sampling']): string {
  const stepText = steps === null ? '' : ` in ${steps} steps`
  return `${sampler?.kind ?? 'ddim'}${stepText}${spacing ? `, spacing ${spacing.kind}` : ''}`
}
