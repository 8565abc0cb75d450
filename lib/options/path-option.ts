/** Options that are paths, told apart from other text by their schema. */
import * as z from 'zod'

const mark = 'path'

/** A path of a file or folder; in a run a relative one counts from the folder where the run was started. */
export function pathOption(): z.ZodString {
  return z.string().meta({ [mark]: true })
}

/** Names of the options of an object that are paths, whatever they are wrapped in. */
export function pathKeys(schema: z.ZodObject): readonly string[] {
  return Object.entries(schema.shape).flatMap(([key, option]) => (isPath(option as z.ZodType) ? [key] : []))
}

function isPath(option: z.ZodType): boolean {
  if (option.meta()?.[mark] === true) return true
  const { innerType } = (option as unknown as { _zod: { def: { innerType?: z.ZodType } } })._zod.def
  return innerType !== undefined && isPath(innerType)
}
