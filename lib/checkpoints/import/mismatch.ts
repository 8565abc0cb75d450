/** Where the tensors of a source and the parameters of a network disagree, for people: missing, extra, wrong shape. */
import { DpmError } from '../../errors.js'
import type { Parameter } from '../../networks/network.js'
import { nearest } from '../../options/options.js'
import type { Weights } from '../archives/tensor-archive.js'
import type { Piece } from './pieces.js'

/** Of each kind so many are listed; the others are counted. */
const listed = 12

interface Mismatch {
  readonly missing: readonly { readonly wanted: string; readonly parameter: string }[]
  readonly extra: readonly string[]
  readonly misshapen: readonly { readonly parameter: Parameter; readonly piece: Piece; readonly found: string }[]
}

/**
 * Holds every parameter to its tensors, and every tensor to its parameter, before anything is read.
 * @param copy which weights, as a person would say: `the averaged weights`.
 * @throws DpmError DPM_FILE_INVALID listing every kind of disagreement with the nearest names; `details` has all of them.
 */
export function requireMatch(
  weights: Weights,
  parameters: readonly Parameter[],
  model: { piece(parameter: Parameter): Piece; readonly isUnused?: (name: string) => boolean },
  copy: string,
): void {
  const pieces = parameters.map((parameter) => ({ parameter, piece: model.piece(parameter) }))
  const used = new Set(pieces.flatMap(({ piece }) => piece.names))
  const mismatch: Mismatch = {
    missing: pieces.flatMap(({ parameter, piece }) =>
      piece.names.filter((name) => !weights.has(name)).map((wanted) => ({ wanted, parameter: parameter.name })),
    ),
    extra: [...weights.keys()].filter((name) => !used.has(name) && !model.isUnused?.(name)),
    misshapen: pieces.flatMap(({ parameter, piece }) => {
      const found = foundShape(piece, weights)
      return found === undefined || found === shapeText(parameter.shape) ? [] : [{ parameter, piece, found }]
    }),
  }
  const { missing, extra, misshapen } = mismatch
  if (missing.length + extra.length + misshapen.length === 0) return
  throw new DpmError(
    'DPM_FILE_INVALID',
    [`${copy} do not fit the network of these settings:`, ...lines(mismatch, weights)].join('\n'),
    {
      details: {
        missing: missing.map(({ wanted }) => wanted),
        extra,
        misshapen: misshapen.map(({ parameter }) => parameter.name),
      },
    },
  )
}

/** Undefined where a tensor is missing. */
function foundShape(piece: Piece, weights: Weights): string | undefined {
  if (piece.names.some((name) => !weights.has(name))) return undefined
  try {
    return shapeText(piece.shapeOf((name) => weights.get(name)?.shape ?? []))
  } catch (error) {
    if (error instanceof DpmError) return error.message
    throw error
  }
}

function lines({ missing, extra, misshapen }: Mismatch, weights: Weights): string[] {
  const shape = (name: string): string => shapeText(weights.get(name)?.shape ?? [])
  const result: string[] = []
  const list = <Row>(kind: string, rows: readonly Row[], line: (row: Row) => string): void => {
    for (const row of rows.slice(0, listed)) result.push(`  ${kind}: ${line(row)}`)
    if (rows.length > listed) result.push(`  ${kind}: … and ${rows.length - listed} more`)
  }
  list('missing', missing, ({ wanted, parameter }) => {
    const near = nearest(wanted, extra)
    return `${wanted} (for ${parameter})${near === undefined ? '' : `; the nearest name there is ${near} of ${shape(near)}`}`
  })
  list('extra', extra, (name) => {
    const near = nearest(
      name,
      missing.map(({ wanted }) => wanted),
    )
    return `${name} of ${shape(name)}${near === undefined ? '' : `; the nearest name wanted is ${near}`}`
  })
  list('wrong shape', misshapen, ({ parameter, piece, found }) => {
    return `${piece.names.join(' + ')} gives ${found}, but ${parameter.name} is ${shapeText(parameter.shape)}`
  })
  return result
}

function shapeText(shape: readonly number[]): string {
  return shape.join('×') || 'a scalar'
}
