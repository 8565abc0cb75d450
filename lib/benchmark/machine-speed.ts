/**
 * What this machine reaches at most, measured on it: the two lines of the roofline model (Williams, Waterman and Patterson
 * 2009, doi 10.1145/1498765.1498785).
 */
import { cpus } from 'node:os'
import { call, callSync } from '../native/call.js'
import type { Precision } from '../native/device.js'

export interface MachineSpeed {
  /** The processor's name. */
  readonly processor: string
  /** Threads of one operation. */
  readonly threads: number
  /** Its widest vector instructions that libtorch uses: `DEFAULT`, `AVX2`, `AVX512`. */
  readonly capability: string
  /** `cpu` or `cuda:N`. */
  readonly device: string
  /** Of libtorch's convolution 3×3, 128 → 128 channels at 32², 16 images, channels-last, in the precision. */
  readonly flopsPerSecond: number
  /** Of a copy larger than the caches: bytes read and bytes written. */
  readonly bytesPerSecond: number
}

/** The convolution that `npm run bench` measures too. */
const convolution = { count: 16, channels: 128, size: 32 } as const
const convolutions = 12
const copiedBytes = 2 ** 28
const copies = 5

/** Some second. @throws DpmError DPM_ABORTED, DPM_OUT_OF_MEMORY */
export async function measureMachine(
  device: string,
  precision: Precision,
  signal?: AbortSignal,
): Promise<MachineSpeed> {
  const ofConvolutions = await call(signal, (binding, cancellation) =>
    binding.measureConvolution(convolution, precision, device, convolutions, cancellation),
  )
  const ofCopies = await call(signal, (binding, cancellation) =>
    binding.measureCopy(copiedBytes, device, copies, cancellation),
  )
  const { threads, capability } = callSync((binding) => binding.version())
  const { count, channels, size } = convolution
  return {
    processor: cpus()[0]?.model.trim() ?? 'unknown',
    threads,
    capability,
    device,
    flopsPerSecond: (2 * count * size ** 2 * channels ** 2 * 9) / median(ofConvolutions),
    bytesPerSecond: (2 * copiedBytes) / median(ofCopies),
  }
}

/** The middle value, the upper one of two. */
export function median(values: ArrayLike<number>): number {
  return Float64Array.from(values).sort()[Math.floor(values.length / 2)] ?? Number.NaN
}
