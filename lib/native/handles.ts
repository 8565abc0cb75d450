/** What crosses the seam to native code by reference: the element types of tensors, and handles. */

/** Element types at the boundary; bfloat16 and float16 travel as Uint16Array. */
export type DType = 'float32' | 'float64' | 'bfloat16' | 'float16' | 'uint8' | 'int64'

declare const kind: unique symbol
export interface Handle<Kind extends string> {
  readonly [kind]: Kind
}
export type TensorHandle = Handle<'tensor'>
export type NetworkHandle = Handle<'network'>
export type PassHandle = Handle<'pass'>
export type TrainingHandle = Handle<'training'>
export type ExecutionHandle = Handle<'execution'>
export type CancellationHandle = Handle<'cancellation'>
export type ProfileHandle = Handle<'profile'>
