/** `dpm-torch recipes`: what there is to train, and every option of it. */
import { Command } from 'commander'
import type { OptionRow } from '../options/options.js'
import { type CommonFlags, jsonFlag } from './flags.js'
import { printLine } from './print-line.js'
import { wrapped } from './words.js'

interface RecipesFlags extends CommonFlags {
  readonly options?: boolean
}

export function recipesCommand(): Command {
  return new Command('recipes')
    .description('list the recipes, or print the complete settings of one')
    .argument('[name]', 'a recipe, by name or .json file')
    .option('--options', 'list all options that a recipe and --set may name')
    .addOption(jsonFlag())
    .action(run)
}

async function run(name: string | undefined, flags: RecipesFlags): Promise<void> {
  const { readRecipe, recipeNames, resolveRecipe } = await import('../training/recipes.js')
  if (flags.options) return printOptions(name, flags)
  if (name !== undefined) {
    printLine(JSON.stringify(resolveRecipe(name), null, flags.json ? 0 : 2))
    return
  }
  const recipes = recipeNames().map((recipe) => ({ name: recipe, description: readRecipe(recipe).description ?? '' }))
  if (flags.json) {
    printLine(JSON.stringify(recipes))
    return
  }
  const widest = Math.max(...recipes.map((recipe) => recipe.name.length))
  for (const recipe of recipes) {
    const lines = wrapped(firstSentence(recipe.description), Math.max(40, terminalWidth() - widest - 2))
    for (const [index, line] of lines.entries()) {
      printLine(`${(index === 0 ? recipe.name : '').padEnd(widest + 2)}${line}`)
    }
  }
  printLine('\nTrain one with `dpm-torch train NAME`; `dpm-torch recipes NAME` prints its settings.')
}

/** The rest says where the numbers come from. */
function firstSentence(text: string): string {
  return /^.*?\.(?=\s|$)/s.exec(text)?.[0] ?? text
}

/** A row of the options, and the kind that it is an option of. */
interface Row extends OptionRow {
  /** `data.kind=emoji`; undefined where there is only one kind. */
  readonly when: string | undefined
  /** In the recipe that was named. */
  readonly value?: unknown
}

async function printOptions(name: string | undefined, flags: RecipesFlags): Promise<void> {
  const { runOptions } = await import('../training/run-options.js')
  const { resolveRecipe } = await import('../training/recipes.js')
  const settings = name === undefined ? undefined : resolveRecipe(name)
  const all = rowsWithKinds(runOptions.rows())
  const rows = settings === undefined ? all : all.flatMap((row) => rowsOf(row, settings))
  if (flags.json) {
    printLine(JSON.stringify(rows))
    return
  }
  let when: string | undefined
  for (const row of rows) {
    if (row.when !== undefined && row.when !== when) printLine(`\nwith ${row.when}`)
    when = row.when
    if (row.path.endsWith('.kind')) continue
    const value = 'value' in row ? row.value : row.default
    const shown = value === undefined ? '' : `${'value' in row ? ' = ' : ', default '}${brief(value)}`
    printLine(`${row.path}  (${row.type}${'value' in row ? ')' : ''}${shown}${'value' in row ? '' : ')'}`)
    for (const line of wrapped(row.description, terminalWidth() - 4)) if (line !== '') printLine(`    ${line}`)
  }
}

/** Options of several kinds come one kind after the other, each begun by a row for its `kind`. */
function rowsWithKinds(rows: readonly OptionRow[]): Row[] {
  const kinds = new Map<string, string>()
  return rows.map((row) => {
    const parent = row.path.slice(0, Math.max(0, row.path.lastIndexOf('.')))
    if (row.path.endsWith('.kind')) kinds.set(parent, row.type)
    const kind = kinds.get(parent)
    return { ...row, when: kind === undefined ? undefined : `${parent}.kind=${kind}` }
  })
}

/** The row with the recipe's value; nothing when the recipe has another kind there. */
function rowsOf(row: Row, settings: unknown): Row[] {
  const [path = '', kind] = row.when?.split('=') ?? []
  if (row.when !== undefined && valueAt(settings, path) !== kind) return []
  return [{ ...row, value: valueAt(settings, row.path) }]
}

function brief(value: unknown): string {
  const text = JSON.stringify(value) ?? ''
  return text.length > 60 ? `${text.slice(0, 57)}...` : text
}

function valueAt(settings: unknown, path: string): unknown {
  return path.split('.').reduce<unknown>((value, key) => {
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[key] : undefined
  }, settings)
}

function terminalWidth(): number {
  return Math.min(120, process.stdout.columns || 100)
}
