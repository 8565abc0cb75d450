/** Recipes: one JSON file per published set-up in `recipes/`, each holding only what differs from the defaults. */
import { readdirSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { DpmError, expected } from '../errors.js'
import { readJsonSync } from '../files/read-json.js'
import { packageFolder } from '../native/load.js'
import { nearest } from '../options/options.js'
import { type RunOptions, type RunSettings, runOptions } from './run-options.js'

type Json = Readonly<Record<string, unknown>>

/** Names of the recipes that come with dpm-torch. */
export function recipeNames(folder: string = recipeFolder()): string[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.json'))
    .map((name) => basename(name, '.json'))
    .sort()
}

/**
 * A recipe as it is written, what it extends included.
 * @param recipe a name of {@link recipeNames}, or the path of a JSON file.
 * @throws DpmError DPM_INVALID_OPTION naming the recipes there are, DPM_FILE_MISSING for a file that is not there,
 *   DPM_FILE_INVALID for one that is no JSON object.
 */
export function readRecipe(recipe: string): RunOptions {
  if (typeof recipe !== 'string') {
    throw expected('the name or file of a recipe', 'recipe', recipe, '', 'DPM_INVALID_OPTION')
  }
  return readFile(recipe, dirname(recipe), []) as unknown as RunOptions
}

/** Complete settings of a recipe with changes laid over it. @throws DpmError DPM_INVALID_OPTION. */
export function resolveRecipe(recipe: string, changes: Json = {}): RunSettings {
  if (!isObject(changes)) throw expected('an object of options', 'changes', changes, '', 'DPM_INVALID_OPTION')
  return runOptions.parse(overlay(readRecipe(recipe) as unknown as Json, changes), `recipe ${recipe}`)
}

/**
 * Changes laid over options: objects are merged, everything else is replaced; another `kind` begins anew. A name stands for its
 * object: `{ steps: 50 }` over `"cosine"` is `{ kind: "cosine", steps: 50 }`.
 */
export function overlay(options: Json, changes: Json): Json {
  const result: Record<string, unknown> = { ...options }
  for (const [key, change] of Object.entries(changes)) {
    const before = typeof result[key] === 'string' && isObject(change) ? { kind: result[key] } : result[key]
    const sameKind =
      isObject(change) && isObject(before) && (change['kind'] === undefined || change['kind'] === before['kind'])
    result[key] = sameKind ? overlay(before as Json, change as Json) : change
  }
  return result
}

function recipeFolder(): string {
  return join(packageFolder(), 'recipes')
}

function readFile(recipe: string, from: string, above: readonly string[]): Json {
  const isPath = recipe.endsWith('.json')
  const path = isPath ? resolve(above.length > 0 ? from : '.', recipe) : join(recipeFolder(), `${recipe}.json`)
  if (above.includes(path))
    throw new DpmError('DPM_FILE_INVALID', `The recipe ${path} extends itself: ${[...above, path].join(' → ')}.`)
  let parsed: unknown
  try {
    parsed = readJsonSync(path, { what: 'recipe' })
  } catch (cause) {
    if (cause instanceof DpmError && cause.code === 'DPM_FILE_MISSING') throw missing(recipe, isPath, cause)
    throw cause
  }
  if (!isObject(parsed)) throw new DpmError('DPM_FILE_INVALID', `The recipe ${path} holds no JSON object.`)
  const { extends: base, ...own } = parsed
  const named: Json = { name: basename(path, '.json'), ...own }
  if (base === undefined) return named
  if (typeof base !== 'string')
    throw new DpmError('DPM_FILE_INVALID', `Expected a recipe's name or file for \`extends\` in ${path}.`)
  return overlay(readFile(base, dirname(path), [...above, path]), named)
}

function missing(recipe: string, isPath: boolean, cause: unknown): DpmError {
  if (isPath) return new DpmError('DPM_FILE_MISSING', `There is no recipe file ${recipe}.`, { cause })
  const names = recipeNames()
  const near = nearest(recipe, names)
  return new DpmError(
    'DPM_INVALID_OPTION',
    `Expected one of ${names.join(', ')} for \`recipe\`, or a .json file, but received ${JSON.stringify(recipe)}.${near ? ` Did you mean "${near}"?` : ''}`,
    { cause },
  )
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
