/** `dpm-torch recipes`: what there is to train, and every option of it. */
import { Command } from 'commander'
import { type CommonFlags, jsonFlag } from './flags.js'
import { columns, wrapped } from './words.js'

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
    console.log(JSON.stringify(resolveRecipe(name), null, flags.json ? 0 : 2))
    return
  }
  const recipes = recipeNames().map((recipe) => ({ name: recipe, description: readRecipe(recipe).description ?? '' }))
  if (flags.json) {
    console.log(JSON.stringify(recipes))
    return
  }
  const widest = Math.max(...recipes.map((recipe) => recipe.name.length))
  for (const recipe of recipes) {
    const lines = wrapped(firstSentence(recipe.description), Math.max(40, terminalWidth() - widest - 2))
    for (const [index, line] of lines.entries()) {
      console.log(`${(index === 0 ? recipe.name : '').padEnd(widest + 2)}${line}`)
    }
  }
  console.log('\nTrain one with `dpm-torch train NAME`; `dpm-torch recipes NAME` prints its settings.')
}

/** The rest says where the numbers come from. */
function firstSentence(text: string): string {
  return /^.*?\.(?=\s|$)/s.exec(text)?.[0] ?? text
}

async function printOptions(name: string | undefined, flags: RecipesFlags): Promise<void> {
  const { runOptions } = await import('../training/run-options.js')
  const { resolveRecipe } = await import('../training/recipes.js')
  const settings = name === undefined ? undefined : resolveRecipe(name)
  const rows = runOptions
    .rows()
    .map((row) => (settings === undefined ? row : { ...row, value: valueAt(settings, row.path) }))
  if (flags.json) {
    console.log(JSON.stringify(rows))
    return
  }
  const cells = rows.map((row) => {
    const value = 'value' in row ? row.value : row.default
    return [row.path, row.type, value === undefined ? '' : JSON.stringify(value), row.description]
  })
  const header = ['option', 'type', settings === undefined ? 'default' : (name ?? ''), 'what it is']
  for (const line of columns([header, ...cells])) console.log(line)
}

function valueAt(settings: unknown, path: string): unknown {
  return path.split('.').reduce<unknown>((value, key) => {
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[key] : undefined
  }, settings)
}

function terminalWidth(): number {
  return Math.min(120, process.stdout.columns || 100)
}
