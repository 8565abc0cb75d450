/** `dpm-torch export`: a model of ours in the form of another program. */
import { Command, InvalidArgumentError, Option } from 'commander'
import { type CommonFlags, jsonFlag, wholeNumber } from './flags.js'
import { printLine } from './print-line.js'

interface ExportFlags extends CommonFlags {
  readonly out: string
  readonly format: string
  readonly weights?: number | 'trained'
}

export function exportCommand(): Command {
  return new Command('export')
    .description('write the model of a run in another form; `dpm-torch list exporters` names them')
    .argument('<run>', 'a run folder, or a checkpoint file')
    .addOption(new Option('--format <name>', 'the form').makeOptionMandatory())
    .addOption(new Option('--out <path>', 'the file or folder to write').makeOptionMandatory())
    .addOption(
      new Option(
        '--weights <copy>',
        'trained, or the index of an averaged copy; by default the first of these',
      ).argParser(readCopy),
    )
    .addOption(jsonFlag())
    .action(run)
}

function readCopy(text: string): number | 'trained' {
  if (text === 'trained') return text
  if (!/^[0-9]+$/.test(text)) throw new InvalidArgumentError('Expected trained, or a whole number of at least 0.')
  return wholeNumber(0)(text)
}

async function run(source: string, { out, format, weights, json }: ExportFlags): Promise<void> {
  const { exportCheckpoint } = await import('../checkpoints/export/export-checkpoint.js')
  const report = await exportCheckpoint(source, { out, format, ...(weights === undefined ? {} : { weights }) })
  if (json) return printLine(JSON.stringify(report))
  for (const path of report.paths) printLine(path)
  for (const note of report.notes) printLine(`  Note: ${note}`)
  printLine(`  ${report.weights === 'network' ? 'weights as trained' : `averaged weights (${report.weights})`}`)
}
