/**
 * How one parameter is made of a source's tensors: `from(name)`, and what is done to it. A piece knows its shape without
 * reading anything, so that a whole map is checked before the first byte is converted; read backwards, the same words
 * say how an exported tensor is made of our parameters.
 */
import { DpmError } from '../../errors.js'

/** Row-major. */
export interface Values {
  readonly shape: readonly number[]
  readonly data: Float32Array<ArrayBuffer>
}

export interface Piece {
  /** The source tensors that it is made of. */
  readonly names: readonly string[]
  /** @throws DpmError DPM_FILE_INVALID where shapes do not fit what is done to them. */
  shapeOf(shapes: (name: string) => readonly number[]): readonly number[]
  valuesOf(read: (name: string) => Promise<Values>): Promise<Values>
}

/** A source tensor as it is. */
export function from(name: string): Piece {
  return { names: [name], shapeOf: (shapes) => shapes(name), valuesOf: (read) => read(name) }
}

/** A number everywhere, where the source has no such tensor: the bias of a layer without one. */
export function filled(value: number, shape: readonly number[]): Piece {
  return {
    names: [],
    shapeOf: () => shape,
    valuesOf: async () => ({ shape, data: new Float32Array(sizeOf(shape)).fill(value) }),
  }
}

/** Pieces one behind the other along the first axis: q, k and v of one matrix. */
export function concatenated(pieces: readonly Piece[]): Piece {
  const join = (shapes: readonly (readonly number[])[]): number[] => {
    const [, ...rest] = shapes[0] ?? []
    for (const shape of shapes) {
      if (shape.slice(1).join() !== rest.join())
        throw unfit(`${shapes.map(text).join(' and ')} cannot be joined by rows`)
    }
    return [shapes.reduce((rows, shape) => rows + (shape[0] ?? 0), 0), ...rest]
  }
  return {
    names: pieces.flatMap(({ names }) => names),
    shapeOf: (shapes) => join(pieces.map((piece) => piece.shapeOf(shapes))),
    async valuesOf(read) {
      const parts = await Promise.all(pieces.map((piece) => piece.valuesOf(read)))
      const shape = join(parts.map((part) => part.shape))
      const data = new Float32Array(sizeOf(shape))
      let at = 0
      for (const part of parts) {
        data.set(part.data, at)
        at += part.data.length
      }
      return { shape, data }
    },
  }
}

/** Part `index` of `count` equal parts of the rows: q of a matrix that holds q, k and v. */
export function part(piece: Piece, index: number, count: number): Piece {
  return changed(
    piece,
    ([rows = 0, ...rest]) => {
      if (rows % count !== 0) throw unfit(`${rows} rows cannot be split into ${count}`)
      return [rows / count, ...rest]
    },
    ({ data }) => data.slice((index * data.length) / count, ((index + 1) * data.length) / count),
  )
}

/** The rows from the last to the first. */
export function reversed(piece: Piece): Piece {
  return changed(
    piece,
    (shape) => {
      if (shape.length === 0) throw unfit('a scalar has no rows')
      return shape
    },
    ({ shape: [rows = 0], data }) => {
      const size = data.length / rows
      const result = new Float32Array(data.length)
      for (let row = 0; row < rows; row++) {
        result.set(data.subarray(row * size, (row + 1) * size), (rows - 1 - row) * size)
      }
      return result
    },
  )
}

/** Axes in another order: output axis i is input axis `order[i]`. */
export function transposed(piece: Piece, order: readonly number[] = [1, 0]): Piece {
  return changed(
    piece,
    (shape) => {
      if (shape.length !== order.length) throw unfit(`${text(shape)} has ${shape.length} axes, not ${order.length}`)
      return order.map((axis) => shape[axis] ?? 0)
    },
    (values) => permute(values, order),
  )
}

/** Rows counted [outer][inner][…] put in the order [inner][outer][…]: heads × (q, k, v) ↔ (q, k, v) × heads. */
export function regrouped(piece: Piece, outer: number, inner: number): Piece {
  return changed(
    piece,
    (shape) => {
      const rows = shape[0] ?? 0
      if (rows % (outer * inner) !== 0) throw unfit(`${rows} rows cannot be grouped into ${outer} times ${inner}`)
      return shape
    },
    ({ data }) => permute({ shape: [outer, inner, data.length / (outer * inner)], data }, [1, 0, 2]),
  )
}

/** A 1×1 convolution as a matrix: without the axes of size 1 after the first two. */
export function pointwise(piece: Piece): Piece {
  return reshaped(piece, (shape) => {
    if (shape.slice(2).some((size) => size !== 1)) throw unfit(`${text(shape)} is not a 1×1 convolution`)
    return shape.slice(0, 2)
  })
}

/** The same elements in another shape. */
export function reshaped(piece: Piece, to: (shape: readonly number[]) => readonly number[]): Piece {
  const checked = (shape: readonly number[]): readonly number[] => {
    const next = to(shape)
    if (sizeOf(next) !== sizeOf(shape)) throw unfit(`${text(shape)} cannot be laid out as ${text(next)}`)
    return next
  }
  return changed(piece, checked, ({ data }) => data)
}

/** Every element times a number. */
export function scaled(piece: Piece, factor: number): Piece {
  return changed(
    piece,
    (shape) => shape,
    ({ data }) => data.map((value) => factor * value),
  )
}

function changed(
  piece: Piece,
  shapeOf: (shape: readonly number[]) => readonly number[],
  dataOf: (values: Values) => Float32Array<ArrayBuffer>,
): Piece {
  return {
    names: piece.names,
    shapeOf: (shapes) => shapeOf(piece.shapeOf(shapes)),
    async valuesOf(read) {
      const values = await piece.valuesOf(read)
      return { shape: shapeOf(values.shape), data: dataOf(values) }
    },
  }
}

function permute({ shape, data }: Values, order: readonly number[]): Float32Array<ArrayBuffer> {
  const strides = shape.map((_, axis) => sizeOf(shape.slice(axis + 1)))
  const sizes = order.map((axis) => shape[axis] ?? 0)
  const steps = order.map((axis) => strides[axis] ?? 0)
  const result = new Float32Array(data.length)
  const index = sizes.map(() => 0)
  let source = 0
  for (let at = 0; at < result.length; at++) {
    result[at] = data[source] ?? 0
    for (let axis = sizes.length - 1; axis >= 0; axis--) {
      const next = (index[axis] ?? 0) + 1
      source += steps[axis] ?? 0
      if (next < (sizes[axis] ?? 0)) {
        index[axis] = next
        break
      }
      index[axis] = 0
      source -= next * (steps[axis] ?? 0)
    }
  }
  return result
}

function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1)
}

function text(shape: readonly number[]): string {
  return shape.join('×') || 'a scalar'
}

function unfit(reason: string): DpmError {
  return new DpmError('DPM_FILE_INVALID', reason)
}
