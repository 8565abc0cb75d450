/** Numbers and shapes as commands print them. */
import type { ImageShape } from '../datasets/data-set.js'
import { printable } from '../show.js'

/** `12,345` */
export function count(value: number): string {
  return Math.round(value).toLocaleString('en-US')
}

/** `3×32×32`: channels, height, width; `2 columns` of vectors. */
export function shapeText({ channels, height, width, columns: vectors }: ImageShape): string {
  if (vectors) return channels === 1 ? '1 column' : `${count(channels)} columns`
  return [channels, height, width].join('×')
}

/** What examples are, in the plural. */
export function examplesWord({ columns: vectors }: ImageShape): string {
  return vectors ? 'vectors' : 'images'
}

/** Lines in columns; the last column is as wide as it is. Cells that come from elsewhere stay on their line. */
export function columns(table: readonly (readonly string[])[], gap = 2): string[] {
  const rows = table.map((row) => row.map(printable))
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  return rows.map((row) =>
    row
      .map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd((widths[column] ?? 0) + gap)))
      .join('')
      .trimEnd(),
  )
}

/** Text in lines of at most so many characters, broken between words. */
export function wrapped(text: string, width: number): string[] {
  const lines: string[] = []
  for (const word of text.split(/\s+/)) {
    const last = lines.at(-1)
    if (last === undefined || last.length + 1 + word.length > width) lines.push(word)
    else lines[lines.length - 1] = `${last} ${word}`
  }
  return lines
}

/** A table of tensors: name, type, shape, how many numbers. */
export function tensorLines(
  tensors: readonly { readonly name: string; readonly dtype: string; readonly shape: readonly number[] }[],
): string[] {
  const rows = tensors.map(({ name, dtype, shape }) => [
    name,
    dtype,
    shape.join('×') || 'scalar',
    count(shape.reduce((product, size) => product * size, 1)),
  ])
  return columns([['tensor', 'type', 'shape', 'numbers'], ...rows])
}
