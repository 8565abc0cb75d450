/** Numbers as callers give them. */

/** A list or a typed array: numbers by index. A function has a `length` too, and text has one. */
export function isNumberList(value: unknown): value is ArrayLike<number> {
  if (typeof value !== 'object' || value === null) return false
  const { length } = value as { readonly length?: unknown }
  return Number.isSafeInteger(length) && (length as number) >= 0
}
