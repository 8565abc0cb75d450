/**
 * The command line. Commands load the library inside their actions, so that `--help` is there at once and needs neither
 * libtorch nor an image codec.
 */
import { readFileSync } from 'node:fs'
import { Command, CommanderError, Option } from 'commander'
import { averageCommand } from './average.js'
import { benchCommand } from './bench.js'
import { dataCommand } from './data.js'
import { doctorCommand } from './doctor.js'
import { explainCommand } from './explain.js'
import { exportCommand } from './export.js'
import { exitCodeOf, reportFailure, usageExitCode } from './failure.js'
import { requireNeededFlags } from './flag-needs.js'
import type { CommonFlags } from './flags.js'
import { withHomeFolder } from './home-folder.js'
import { importCommand } from './import.js'
import { inspectCommand } from './inspect.js'
import { likelihoodCommand } from './likelihood.js'
import { listCommand } from './list.js'
import { recipesCommand } from './recipes.js'
import { sampleCommand } from './sample.js'
import { selftestCommand } from './selftest.js'
import { setupCommand } from './setup.js'
import { trainCommand } from './train.js'

const examples = `
Examples:
  dpm-torch train sprites                      train the first recipe, into runs/sprites
  dpm-torch train sprites --plan               measure three steps, and say what the whole run takes
  dpm-torch sample runs/sprites --count 64     draw images from it
  dpm-torch recipes                            what else there is to train
  dpm-torch list                               every schedule, sampler, … by name

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted (129 by a closed terminal, 143 by SIGTERM).`

export function createProgram(): Command {
  const program = new Command('dpm-torch')
    .description('Train and sample diffusion models on libtorch.')
    .version(packageVersion(), '--version', 'print the version')
    .helpOption('-h, --help', 'print help')
    .helpCommand('help [command]', 'print the help of a command')
    .addHelpText('after', examples)
    .exitOverride()
  const commands = [
    setupCommand(),
    doctorCommand(),
    recipesCommand(),
    trainCommand(),
    sampleCommand(),
    likelihoodCommand(),
    importCommand(),
    exportCommand(),
    averageCommand(),
    inspectCommand(),
    dataCommand(),
    listCommand(),
    explainCommand(),
    selftestCommand(),
    benchCommand(),
  ]
  for (const command of commands) {
    command.addOption(new Option('--verbose', 'print where an error happened'))
    program.addCommand(command.copyInheritedSettings(program).helpOption('-h, --help', 'print help'))
  }
  return program
}

/** Runs a command line to its end. @param argv as in `process.argv`. @returns the exit code. */
export async function runProgram(argv: readonly string[]): Promise<number> {
  const program = createProgram()
  let flags: CommonFlags = {}
  program.hook('preAction', (_, command) => {
    flags = command.opts()
    requireNeededFlags(command)
  })
  try {
    await program.parseAsync(withHomeFolder(argv))
    return Number(process.exitCode ?? 0)
  } catch (error) {
    // Commander has printed its message, or the help that was asked for.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : usageExitCode
    reportFailure(error, flags)
    return exitCodeOf(error)
  }
}

function packageVersion(): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
  return String((manifest as { readonly version?: unknown }).version)
}
