/**
 * Where the time of a step or an evaluation goes, and how far each operation is from what the machine allows: no faster than
 * its floating-point operations at the convolution's speed, nor than its bytes at the copy's (the roofline model, Williams,
 * Waterman and Patterson 2009). A share above 1 is an operation whose data is in a cache, or a convolution with fewer
 * products than the direct sum has (Winograd).
 */
import type { NativePhase, NativeProfile } from '../native/binding.js'
import type { MachineSpeed } from './machine-speed.js'
import { operationFlops } from './operation-flops.js'

/** One kind of operation, per run; its own time, without that of operations inside. */
export interface ProfiledOperation {
  /** libtorch's, as `aten::mkldnn_convolution`, or a kernel of ours, as `dpm::attention`; `autograd` is all of its nodes. */
  readonly name: string
  /** `forward`, `backward` or `update`. */
  readonly phase: NativePhase
  /** Shapes of what it is given, where operations are told apart by them: `8×64×32×32, 64×64×3×3`. */
  readonly shapes?: string
  readonly calls: number
  readonly seconds: number
  /** Of the run's time. */
  readonly share: number
  /** Read and written, from the sizes of its tensors. */
  readonly bytes: number
  /** 0 where it multiplies no matrices. */
  readonly flops: number
  /** Time that the machine allows, by time; null where it neither moves nor multiplies. */
  readonly roofline: number | null
}

export interface Profile {
  /** The slowest first. */
  readonly operations: readonly ProfiledOperation[]
  /** The same, told apart by shapes. */
  readonly byShape: readonly ProfiledOperation[]
  readonly runs: number
  /** Of one run, without the time that recording took. */
  readonly seconds: number
  /** Of one run, in no operation. */
  readonly betweenSeconds: number
  /** Of one run, that recording took; no operation counts it. */
  readonly recordingSeconds: number
  readonly flops: number
  readonly bytes: number
  /** Most that tensors of a run held, beyond what was held before it. */
  readonly peakBytes: number
}

/** What is added up while runs are read. */
interface Sum {
  readonly name: string
  readonly phase: NativePhase
  readonly shapes?: string
  calls: number
  seconds: number
  bytes: number
  flops: number
}

/** @param runs steps or evaluations that were recorded: a step of several micro-batches is as many jobs. */
export function profileOf(native: NativeProfile, machine: MachineSpeed, runs: number): Profile {
  const seconds = (native.seconds - native.overhead) / runs
  const named = new Map<string, Sum>()
  const shaped = new Map<string, Sum>()
  for (const operation of native.operations) {
    const name = /^(aten|dpm)::/.test(operation.name) ? operation.name : 'autograd'
    const { phase } = operation
    const shapes = name === 'autograd' ? '' : shapesText(operation.inputs)
    const flops = operationFlops(operation)
    const sums = [sumIn(named, { name, phase }), sumIn(shaped, { name, phase, shapes })]
    for (const sum of sums) {
      sum.calls += operation.calls / runs
      sum.seconds += operation.seconds / runs
      sum.bytes += (operation.bytesRead + operation.bytesWritten) / runs
      sum.flops += flops / runs
    }
  }
  const finished = (sums: Iterable<Sum>): ProfiledOperation[] =>
    [...sums]
      .map((sum) => ({ ...sum, share: sum.seconds / seconds, roofline: roofline(sum, machine) }))
      .sort((a, b) => b.seconds - a.seconds)
  const operations = finished(named.values())
  const total = (field: 'seconds' | 'flops' | 'bytes'): number => operations.reduce((sum, one) => sum + one[field], 0)
  return {
    operations,
    byShape: finished(shaped.values()),
    runs,
    seconds,
    betweenSeconds: Math.max(0, seconds - total('seconds')),
    recordingSeconds: native.overhead / runs,
    flops: total('flops'),
    bytes: total('bytes'),
    peakBytes: native.peakBytes,
  }
}

function sumIn(sums: Map<string, Sum>, parts: Pick<Sum, 'name' | 'phase' | 'shapes'>): Sum {
  const key = `${parts.phase} ${parts.name} ${parts.shapes ?? ''}`
  const found = sums.get(key) ?? { ...parts, calls: 0, seconds: 0, bytes: 0, flops: 0 }
  sums.set(key, found)
  return found
}

function shapesText(operands: readonly { readonly shape: readonly number[]; readonly type: string | null }[]): string {
  return operands
    .filter(({ type }) => type !== null)
    .map(({ shape }) => shape.join('×') || 'scalar')
    .join(', ')
}

function roofline(
  { flops, bytes, seconds }: Pick<Sum, 'flops' | 'bytes' | 'seconds'>,
  machine: MachineSpeed,
): number | null {
  if (seconds === 0 || (flops === 0 && bytes === 0)) return null
  return Math.max(flops / machine.flopsPerSecond, bytes / machine.bytesPerSecond) / seconds
}
