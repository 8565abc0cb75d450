/** Handles of one test file: each is disposed of after its test, and then nothing native may be left alive. */
import { afterEach, expect } from 'vitest'
import type {
  Binding,
  CancellationHandle,
  DType,
  ExecutionHandle,
  NetworkHandle,
  PassHandle,
  ProfileHandle,
  TensorHandle,
  TrainingHandle,
} from '../../lib/native/binding.js'
import { loadBinding } from '../../lib/native/load.js'

export type AnyHandle =
  | CancellationHandle
  | ExecutionHandle
  | NetworkHandle
  | PassHandle
  | ProfileHandle
  | TensorHandle
  | TrainingHandle

export function expectNoHandles(binding: Binding): void {
  expect(binding.memory()).toEqual({ tensors: 0, networks: 0, others: 0, bytes: 0, jobs: 0 })
}

/** @returns a function that keeps a handle for the length of the test and gives it back. */
export function holdHandles(): <Handle extends AnyHandle>(handle: Handle) => Handle {
  const handles: AnyHandle[] = []
  afterEach(() => {
    for (const handle of handles.splice(0)) loadBinding().dispose(handle)
    expectNoHandles(loadBinding())
  })
  return (handle) => {
    handles.push(handle)
    return handle
  }
}

export type Held = ReturnType<typeof holdHandles>

const arrays = { float32: Float32Array, float64: Float64Array, uint8: Uint8Array } as const

export function createTensor(
  held: Held,
  values: ArrayLike<number>,
  shape: readonly number[],
  dtype: keyof typeof arrays = 'float32',
): TensorHandle {
  const array = arrays[dtype].from(values)
  return held(loadBinding().tensorCreate(new Uint8Array(array.buffer), shape, dtype satisfies DType))
}

/** The elements of a float32 tensor that nobody else needs. */
export async function takeFloats(handle: TensorHandle): Promise<Float32Array> {
  const values = new Float32Array(await loadBinding().tensorData(handle))
  loadBinding().dispose(handle)
  return values
}
