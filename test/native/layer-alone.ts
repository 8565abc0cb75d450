/** A layer on its own, and the laws that hold a fused one to libtorch's operators. */
import type { NativeSettings, TensorHandle } from '../../lib/native/binding.js'
import { loadBinding } from '../../lib/native/load.js'
import { normals } from '../../lib/random/philox.js'
import { createTensor, type Held } from './handles.js'

export interface Values {
  readonly values: ArrayLike<number>
  readonly shape: readonly number[]
}

/** A layer, what it is made of (x first), and what its output's gradient is. */
export interface LayerCase {
  readonly layer: string
  readonly inputs: readonly (Values | null)[]
  readonly byOutput: Values
  readonly settings: NativeSettings
}

export interface Manner {
  readonly fused?: boolean
  readonly dtype?: 'float32' | 'float64'
  readonly precision?: 'float32' | 'bfloat16' | 'float16'
  /** Where x, the rest and the output's gradient lie. */
  readonly place?: 'plain' | 'channels-last' | 'transposed' | 'sliced' | 'spaced'
  readonly weightPlace?: 'plain' | 'channels-last'
  /** Whether the gradient of half the squared length of the gradient is asked for instead. */
  readonly again?: boolean
  /** Whether the pass is told so. */
  readonly twice?: boolean
  readonly gradient?: boolean
}

export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, extent) => product * extent, 1)
}

/** Normals of a key, times a scale, plus a mean. */
export function drawn(shape: readonly number[], key: number, scale = 1, mean = 0): Values {
  const values = normals(7, 'initial', 0, key, Math.max(sizeOf(shape), 1)).map((value) => mean + scale * value)
  return { values: values.subarray(0, sizeOf(shape)), shape }
}

/** The elements of a float32 or float64 tensor that nobody else needs. */
async function takeNumbers(handle: TensorHandle): Promise<Float64Array> {
  const binding = loadBinding()
  const { dtype } = binding.tensorInfo(handle)
  const wide = dtype === 'float64' ? handle : await binding.tensorConvert(handle, 'float64', 'cpu')
  const values = new Float64Array(await binding.tensorData(wide))
  for (const each of new Set([handle, wide])) binding.dispose(each)
  return values
}

export interface LayerRun {
  readonly output: Float64Array
  /** By every input; empty for one that is not there, and when none is asked for. */
  readonly gradients: readonly Float64Array[]
}

export async function runLayer(held: Held, of: LayerCase, manner: Manner = {}): Promise<LayerRun> {
  const {
    fused = true,
    dtype = 'float32',
    precision = 'float32',
    place = 'plain',
    weightPlace = 'channels-last',
  } = manner
  const { again = false, twice = false, gradient = true } = manner
  const given = (each: Values | null) => each && createTensor(held, each.values, each.shape, dtype)
  const { output, gradients } = await loadBinding().layerAlone(
    of.layer,
    of.inputs.map(given),
    gradient ? given(of.byOutput) : null,
    { seed: 3, ...of.settings, fused, precision, place, weightPlace, again, twice },
  )
  const taken: Float64Array[] = []
  for (const each of gradients) taken.push(each ? await takeNumbers(each) : new Float64Array())
  return { output: await takeNumbers(output), gradients: taken }
}

function moved(of: LayerCase, which: number, direction: (index: number) => number, h: number): LayerCase {
  const inputs = of.inputs.map((input, k) =>
    input && k === which
      ? { ...input, values: Float64Array.from(input.values, (value, i) => value + h * direction(i)) }
      : input,
  )
  return { ...of, inputs }
}

/** The slope of the output's product with `byOutput` (or of what `measure` makes of a run) when an input moves. */
export async function slopeOf(
  held: Held,
  of: LayerCase,
  manner: Manner,
  move: { readonly which: number; readonly direction: (index: number) => number; readonly h: number },
  measure = (run: LayerRun) => run.output.reduce((sum, value, i) => sum + value * slopeAt(of.byOutput, i), 0),
): Promise<number> {
  const at = async (h: number) => measure(await runLayer(held, moved(of, move.which, move.direction, h), manner))
  return ((await at(move.h)) - (await at(-move.h))) / (2 * move.h)
}

/** A gradient of one number stands for the same everywhere. */
function slopeAt(byOutput: Values, index: number): number {
  return byOutput.values[byOutput.values.length === 1 ? 0 : index] ?? 0
}

/** Largest distance relative to the reference's largest number; 0 of nothing. */
export function apart(actual: ArrayLike<number>, reference: ArrayLike<number>): number {
  if (actual.length !== reference.length) return Number.NaN
  let [distance, largest] = [0, 0]
  for (let i = 0; i < reference.length; i++) {
    distance = Math.max(distance, Math.abs((actual[i] ?? Number.NaN) - (reference[i] ?? 0)))
    largest = Math.max(largest, Math.abs(reference[i] ?? 0))
  }
  return distance === 0 ? 0 : distance / largest
}

/** Whether lists of numbers are the same to the bit; unlike `toEqual` it is quick to say no. */
export function isSame(actual: readonly ArrayLike<number>[], reference: readonly ArrayLike<number>[]): boolean {
  return (
    actual.length === reference.length &&
    actual.every((list, k) => {
      const wanted = reference[k] ?? []
      return list.length === wanted.length && Array.from(list).every((value, i) => Object.is(value, wanted[i]))
    })
  )
}

/** Output and gradients of a run. */
export function allOf({ output, gradients }: LayerRun): readonly Float64Array[] {
  return [output, ...gradients]
}
