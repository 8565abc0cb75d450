/** `dpm-torch selftest`: every sampler and likelihood on data whose diffusion is known. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { Command } from 'commander'
import type { Selftest } from '../evaluation/selftest/selftest.js'
import { type CommonFlags, jsonFlag } from './flags.js'
import { interruptible } from './interrupt.js'
import { StatusLine } from './status-line.js'
import { columns } from './words.js'

interface SelftestFlags extends CommonFlags {
  readonly out: string
  readonly native: boolean
}

const help = `
For each sampler: the order at which its error falls with the number of steps (measured, and that of its paper), and the
error after 5, 10, 20 and 50 evaluations of the network on a Gaussian and on a mixture of two, in deviations of the data.
For each likelihood: its error in bits per dimension. Where the addon is there: the largest difference between each
program on the native loop and in float64. Writes selftest.json, selftest.svg and selftest.png.
Exit code 1 if anything is not as it should be.`

export function selftestCommand(): Command {
  return new Command('selftest')
    .description('measure every sampler and likelihood on closed forms; needs no data, and no addon')
    .option('--out <folder>', 'where the results go', 'selftest')
    .option('--no-native', 'leave out the native loop')
    .addOption(jsonFlag())
    .addHelpText('after', help)
    .action(run)
}

async function run(flags: SelftestFlags): Promise<void> {
  const { runSelftest, selftestChart } = await import('../evaluation/selftest/selftest.js')
  const { writeAtomically } = await import('../files/atomic-write.js')
  const { writeFailure } = await import('../files/file-failure.js')
  const line = new StatusLine()
  const folder = await mkdir(flags.out, { recursive: true }).then(
    () => flags.out,
    (error: unknown) => {
      throw writeFailure(flags.out, error)
    },
  )
  const native = flags.native && (await addonIsThere(line))
  await interruptible(
    async (signal) => {
      const result = await runSelftest({
        signal,
        native,
        onProgress: ({ part, done, all }) => line.show(() => `${part} · ${done} of ${all}`),
      })
      line.clear()
      const svg = selftestChart(result)
      await writeAtomically(join(folder, 'selftest.json'), Buffer.from(`${JSON.stringify(result, null, 2)}\n`))
      await writeAtomically(join(folder, 'selftest.svg'), Buffer.from(svg))
      const { loadSharp } = await import('../images/load-sharp.js')
      const sharp = await loadSharp()
      await writeAtomically(join(folder, 'selftest.png'), await sharp(Buffer.from(svg)).png().toBuffer())
      console.log(flags.json ? JSON.stringify(result) : table(result, folder))
      if (!result.passes) process.exitCode = 1
    },
    () => line.print('Stopping.'),
  ).finally(() => line.clear())
}

/** The selftest runs without the addon too; then it says what is left out. */
async function addonIsThere(line: StatusLine): Promise<boolean> {
  const { loadBinding } = await import('../native/load.js')
  try {
    loadBinding()
    return true
  } catch (error) {
    line.print(`Without the native loop: ${error instanceof Error ? error.message : String(error)}`)
    return false
  }
}

function table({ samplers, likelihoods, native, budgets, passes }: Selftest, folder: string): string {
  const verdict = (good: boolean): string => (good ? '' : 'WRONG')
  const brief = (value: number | null): string => (value === null ? '-' : value.toPrecision(2))
  const heads = budgets.map((budget) => `${budget}`)
  return [
    ...columns([
      [
        'sampler',
        'order',
        'paper',
        ...heads.map((head) => `Gaussian ${head}`),
        ...heads.map((head) => `mixture ${head}`),
        '',
      ],
      ...samplers.map(({ sampler, order, expectedOrder, errors, passes: good }) => [
        sampler,
        order === null ? '-' : order.toFixed(2),
        expectedOrder === null ? '-' : String(expectedOrder),
        ...errors.gaussian.map(brief),
        ...errors.mixture.map(brief),
        verdict(good),
      ]),
    ]),
    '',
    ...columns([
      ['likelihood', 'data', 'bits per dimension', 'exact', 'error', ''],
      ...likelihoods.map(({ likelihood, data, bitsPerDimension, exact, error, passes: good }) => [
        likelihood,
        data,
        bitsPerDimension.toFixed(4),
        exact.toFixed(4),
        error.toFixed(4),
        verdict(good),
      ]),
    ]),
    '',
    native === null
      ? 'native loop: left out'
      : `native loop: ${native.length} programs, largest difference ${Math.max(...native.map(({ difference }) => difference)).toExponential(1)} ${native
          .filter(({ passes: good }) => !good)
          .map(({ sampler }) => `${sampler} WRONG`)
          .join(' ')}`,
    '',
    `${passes ? 'All as it should be.' : 'Something is not as it should be.'} ${join(folder, 'selftest.svg')}, .png and .json`,
  ].join('\n')
}
