/** Options of which there are several kinds: each kind is a strict object that says which it is. */
import * as z from 'zod'

/** A strict object whose `kind` is the name of what it describes. */
export type KindSchema = z.ZodObject<{ kind: z.ZodLiteral<string> }>

type SchemaIn<Entries extends Readonly<Record<string, { readonly schema: KindSchema }>>> =
  Entries[keyof Entries]['schema']

/** The schemas of all entries of a list, for `z.discriminatedUnion('kind', …)`: a new line in the list is a new choice. */
export function schemasOf<Entries extends Readonly<Record<string, { readonly schema: KindSchema }>>>(
  entries: Entries,
): [SchemaIn<Entries>, ...SchemaIn<Entries>[]] {
  return Object.values(entries).map(({ schema }) => schema) as [SchemaIn<Entries>, ...SchemaIn<Entries>[]]
}

/** Options of a kind, or only its name where its defaults will do: `'karras'` is `{ kind: 'karras' }`. */
export function nameOrOptions<Schema extends z.ZodType<{ readonly kind: string }>>(
  schema: Schema,
): z.ZodType<z.output<Schema>, z.output<Schema>['kind'] | z.input<Schema>> {
  return z.preprocess((value) => (typeof value === 'string' ? { kind: value } : value), schema) as never
}
