/** `dpm-torch list`: everything that has a name. */
import { Command } from 'commander'
import { expected } from '../errors.js'
import { nearest, type OptionRow, optionRowsOf } from '../options/options.js'
import { type CommonFlags, jsonFlag } from './flags.js'
import { printLine } from './print-line.js'
import { wrapped } from './words.js'

export function listCommand(): Command {
  return new Command('list')
    .description('list what has a name: schedules, predictions, samplers, …; of one part, with its options')
    .argument('[part]', 'samplers, schedules, spacings, …')
    .addOption(jsonFlag())
    .action(run)
}

interface Entry {
  readonly name: string
  readonly options: readonly OptionRow[]
}

async function run(part: string | undefined, flags: CommonFlags): Promise<void> {
  const { catalog } = await import('../catalog.js')
  const parts: Readonly<Record<string, Readonly<Record<string, unknown>>>> = catalog
  if (part === undefined) {
    const names = Object.fromEntries(Object.entries(parts).map(([one, entries]) => [one, Object.keys(entries)]))
    if (flags.json) return printLine(JSON.stringify(names))
    const widest = Math.max(...Object.keys(names).map((one) => one.length))
    for (const [one, entries] of Object.entries(names)) {
      const lines = wrapped(entries.join(', '), Math.max(40, (process.stdout.columns ?? 100) - widest - 2))
      for (const [index, line] of lines.entries()) printLine(`${(index === 0 ? one : '').padEnd(widest + 2)}${line}`)
    }
    return
  }
  const entries = Object.hasOwn(parts, part) ? parts[part] : undefined
  if (!entries) {
    const near = nearest(part, Object.keys(parts))
    const cure = near ? `Did you mean "${near}"?` : ''
    throw expected(`one of ${Object.keys(parts).join(', ')}`, 'part', part, cure, 'DPM_INVALID_OPTION')
  }
  const listed = Object.entries(entries).map(([name, entry]): Entry => {
    const rows = hasSchema(entry) ? optionRowsOf(entry.schema) : []
    return { name, options: rows.filter(({ path }) => path !== 'kind') }
  })
  if (flags.json) return printLine(JSON.stringify(listed))
  for (const { name, options } of listed) {
    printLine(name)
    for (const { path, type, default: value, description } of options) {
      const shown = value === undefined ? '' : ` = ${JSON.stringify(value)}`
      printLine(`    ${path} (${type})${shown}${description ? `: ${description}` : ''}`)
    }
  }
}

function hasSchema(entry: unknown): entry is { readonly schema: never } {
  return typeof entry === 'object' && entry !== null && 'schema' in entry
}
