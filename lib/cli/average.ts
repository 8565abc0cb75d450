/** `dpm-torch average`: an averaged copy that a run did not keep, made of those that it did. */
import { Command } from 'commander'
import { type CommonFlags, finiteNumber, jsonFlag, wholeNumber } from './flags.js'
import { interruptible } from './interrupt.js'
import { printLine } from './print-line.js'
import { count } from './words.js'

interface AverageFlags extends CommonFlags {
  readonly deviation: number
  readonly at?: number
  readonly out: string
}

const help = `
Example:
  dpm-torch train edm2-imagenet64 --set checkpoints.snapshots.everySteps=4096
  dpm-torch average runs/edm2-imagenet64 --deviation 0.075 --out average.safetensors
  dpm-torch sample average.safetensors --count 64

Every power-function average in the run's snapshots and checkpoints counts, up to the step asked for.`

export function averageCommand(): Command {
  return new Command('average')
    .description('make an average of another width out of the power-function averages that a run has stored')
    .argument('<run>', 'a run folder')
    .requiredOption('--deviation <number>', 'relative standard deviation of the average, such as 0.075', finiteNumber)
    .option('--at <step>', 'the step that it is of (default: the newest)', wholeNumber(1))
    .requiredOption('--out <file>', 'where it goes (.safetensors)')
    .addOption(jsonFlag())
    .addHelpText('after', help)
    .action(run)
}

async function run(path: string, { deviation, at, out, json }: AverageFlags): Promise<void> {
  const { reconstructAverage } = await import('../training/reconstruct-average.js')
  await interruptible(
    async (signal) => {
      const result = await reconstructAverage(path, { deviation, at, out, signal })
      if (json) {
        printLine(JSON.stringify(result))
        return
      }
      printLine(
        `${result.path}: the average of deviation ${deviation} at step ${count(result.step)}, of ${count(result.stored)} stored ones; its profile is ${(100 * result.profileError).toPrecision(2)} % off`,
      )
    },
    () => process.stderr.write('Stopping.\n'),
  )
}
