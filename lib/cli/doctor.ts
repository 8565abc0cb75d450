/** `dpm-torch doctor`: says what works and what does not, and what to do about it. */
import { Command } from 'commander'
import type { Check } from '../libtorch/doctor.js'
import { printLine } from './print-line.js'

export function doctorCommand(): Command {
  return new Command('doctor')
    .description('check this machine, the addon and libtorch, each library in a process of its own')
    .option('--json', 'print the result as JSON')
    .action(run)
}

async function run(flags: { readonly json?: boolean }): Promise<void> {
  const { diagnose } = await import('../libtorch/doctor.js')
  const diagnosis = await diagnose(flags.json ? {} : { onCheck: print })
  if (flags.json) printLine(JSON.stringify(diagnosis))
  else printLine(diagnosis.ok ? '\ndpm-torch can run here.' : '\ndpm-torch cannot run here yet.')
  if (!diagnosis.ok) process.exitCode = 1
}

function print({ name, ok, value, cure }: Check): void {
  printLine(`${ok ? 'ok ' : 'NO '} ${name.padEnd(18)} ${value}`)
  if (cure) printLine(`${' '.repeat(23)}${cure}`)
}
