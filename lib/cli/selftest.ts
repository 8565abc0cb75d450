/** `dpm-torch selftest`: every sampler and likelihood on data whose diffusion is known. */
import { join } from 'node:path'
import { Command } from 'commander'
import { DpmError, type DpmErrorCode } from '../errors.js'
import type { LikelihoodCheck } from '../evaluation/selftest/likelihood-checks.js'
import type { NativeCheck } from '../evaluation/selftest/native-pass.js'
import type { SamplerCheck } from '../evaluation/selftest/sampler-check.js'
import type { Selftest, SelftestProgress } from '../evaluation/selftest/selftest.js'
import type { Written } from '../files/output-places.js'
import { formatDuration } from '../training/progress.js'
import { type CommonFlags, jsonFlag } from './flags.js'
import { interruptible } from './interrupt.js'
import { printLine } from './print-line.js'
import { StatusLine } from './status-line.js'
import { columns } from './words.js'

interface SelftestFlags extends CommonFlags {
  readonly out: string
  readonly native: boolean
}

const help = `
Examples:
  dpm-torch selftest
  dpm-torch selftest heun dpm++2m ode --no-native --out /tmp/heun

For each sampler: the order at which its error falls with the number of steps (measured, and that of its paper), and its
error after 5, 10, 20 and 50 evaluations of the network on a Gaussian and on a mixture of two, in deviations of the data;
"-" where it cannot run in so few. Without noise in the sampler the error is that of single images against the exact
probability flow, with noise that of their distribution. For each likelihood: its error in bits per dimension. Where the
addon is there: the largest difference between each program on the native loop and in float64.
Writes selftest.json, selftest.svg and selftest.png. Exit code 1 if anything is not as it should be.`

export function selftestCommand(): Command {
  return new Command('selftest')
    .description('measure every sampler and likelihood on closed forms; needs no data, and no addon')
    .argument('[names...]', 'samplers and likelihoods to measure (default: all)')
    .option('--out <folder>', 'where the results go', 'selftest')
    .option('--no-native', 'leave out the native loop')
    .addOption(jsonFlag())
    .addHelpText('after', help)
    .action(run)
}

async function run(names: readonly string[], flags: SelftestFlags): Promise<void> {
  const { runSelftest, selftestParts } = await import('../evaluation/selftest/selftest.js')
  selftestParts(names)
  const { OutputPlaces } = await import('../files/output-places.js')
  const { requireFolderName } = await import('../files/name-endings.js')
  requireFolderName(flags.out, '--out')
  await using _ = await OutputPlaces.open([{ name: '--out', path: flags.out, kind: 'folder' }])
  const line = new StatusLine()
  const native = flags.native && (await addonIsThere(line))
  const startedAt = performance.now()
  await interruptible(
    async (signal) => {
      const onProgress = (progress: SelftestProgress): void =>
        line.show(() => progressText(progress, (performance.now() - startedAt) / 1000))
      const result = await runSelftest({ names, native, signal, onProgress })
      line.clear()
      const { files, failure } = await writeResults(flags.out, result)
      printLine(flags.json ? JSON.stringify({ ...result, files }) : [...report(result), '', ...files].join('\n'))
      if (!result.passes) process.exitCode = 1
      // What was measured is printed although it cannot be written.
      if (failure) throw failure.error
    },
    () => line.print('Stopping.'),
  ).finally(() => line.clear())
}

/** What is not installed is no fault: the selftest runs without it, and says what it leaves out. */
const absences: readonly DpmErrorCode[] = ['DPM_ADDON_MISSING', 'DPM_LIBTORCH_MISSING', 'DPM_PLATFORM_UNSUPPORTED']

async function addonIsThere(line: StatusLine): Promise<boolean> {
  const { loadBinding } = await import('../native/load.js')
  try {
    loadBinding()
    return true
  } catch (error) {
    if (!(error instanceof DpmError && absences.includes(error.code))) throw error
    line.print(`Without the native loop: ${error.message}`)
    return false
  }
}

function progressText({ part, fraction }: SelftestProgress, seconds: number): string {
  const left = fraction > 0 ? ` · ${formatDuration((seconds * (1 - fraction)) / fraction)} left` : ''
  return `selftest · ${part} · ${Math.floor(100 * fraction)} %${left}`
}

async function writeResults(folder: string, result: Selftest): Promise<Written> {
  const { selftestChart } = await import('../evaluation/selftest/selftest-chart.js')
  const { writeEach } = await import('../files/output-places.js')
  const encode = (text: string): Uint8Array => new TextEncoder().encode(text)
  const chart = selftestChart(result)
  const picture = async (drawing: string): Promise<Uint8Array> =>
    (await import('../images/chart.js')).chartPicture(drawing)
  return writeEach({
    [join(folder, 'selftest.json')]: async () => encode(`${JSON.stringify(result, null, 2)}\n`),
    ...(chart !== undefined && {
      [join(folder, 'selftest.svg')]: async () => encode(chart),
      [join(folder, 'selftest.png')]: () => picture(chart),
    }),
  })
}

function report({ samplers, likelihoods, native, budgets, passes }: Selftest): string[] {
  return [
    ...samplerLines(samplers, budgets),
    ...likelihoodLines(likelihoods),
    ...nativeLines(native),
    passes ? 'All as it should be.' : 'Something is not as it should be.',
  ]
}

const verdict = (passes: boolean): string => (passes ? '' : 'WRONG')

function samplerLines(samplers: readonly SamplerCheck[], budgets: readonly number[]): string[] {
  if (samplers.length === 0) return []
  const brief = (value: number | null): string => (value === null ? '-' : Number(value.toPrecision(2)).toString())
  const [gaussian, mixture] = ['Gaussian', 'mixture'].map((name) => [
    `${name} ${budgets[0]}`,
    ...budgets.slice(1).map(String),
  ])
  const none = budgets.map(() => null)
  const slow = samplers.flatMap(({ sampler, measured }) =>
    measured && measured.fewestEvaluations > Math.max(...budgets)
      ? [`${sampler}: no run of fewer than ${measured.fewestEvaluations} evaluations`]
      : [],
  )
  return [
    ...columns([
      ['sampler', 'order', 'paper', ...(gaussian ?? []), ...(mixture ?? []), ''],
      ...samplers.map(({ sampler, order, expectedOrder, measured, faults }) => [
        sampler,
        order === null ? '-' : order.toFixed(2),
        expectedOrder === null ? '-' : String(expectedOrder),
        ...(measured?.errors.gaussian ?? none).map(brief),
        ...(measured?.errors.mixture ?? none).map(brief),
        faults.length === 0 ? '' : `WRONG: ${faults.join('; ')}`,
      ]),
    ]),
    ...slow,
    '',
  ]
}

function likelihoodLines(likelihoods: readonly LikelihoodCheck[]): string[] {
  if (likelihoods.length === 0) return []
  return [
    ...columns([
      ['likelihood', 'options', 'data', 'bits/dim', 'exact', 'error', ''],
      ...likelihoods.map(({ likelihood, variant, data, bitsPerDimension, exact, error, standardError, passes }) => [
        likelihood,
        variant,
        data,
        bitsPerDimension.toFixed(4),
        exact.toFixed(4),
        `${error.toFixed(4)} ± ${standardError.toFixed(4)}`,
        verdict(passes),
      ]),
    ]),
    '',
  ]
}

function nativeLines(native: readonly NativeCheck[] | null): string[] {
  if (native === null) return ['native loop: left out', '']
  const largest = Math.max(...native.map(({ difference }) => difference))
  const wrong = native.filter(({ passes }) => !passes)
  return [
    `native loop: ${native.length} programs, largest difference to float64 ${largest.toExponential(1)}`,
    ...wrong.map(({ sampler, difference }) => `WRONG: ${sampler} differs by ${difference.toExponential(1)}`),
    '',
  ]
}
