/** Which device a run computes on. Asking for CUDA where there is none is an error, never a silent fallback. */
import { DpmError, expected } from '../errors.js'
import { call } from './call.js'

/** `auto` is the first CUDA device, or the CPU where there is none. */
export const devicePattern = /^(auto|cpu|cuda(:[0-9]{1,3})?)$/

/** Arithmetic of a run: norms, softmax and embeddings stay in float32 whatever it is. */
export const precisions = ['float32', 'tf32', 'bfloat16', 'float16'] as const
export type Precision = (typeof precisions)[number]

/**
 * `cpu` or `cuda:N`, as native code takes it.
 * @throws DpmError DPM_INVALID_OPTION for another word, DPM_DEVICE_UNAVAILABLE when there is no such device.
 */
export async function resolveDevice(device: string): Promise<string> {
  if (!devicePattern.test(device))
    throw expected('auto, cpu, cuda or cuda:N', 'device', device, '', 'DPM_INVALID_OPTION')
  if (device === 'cpu') return device
  const count = await call(undefined, (binding) => binding.cudaDeviceCount())
  if (device === 'auto') return count > 0 ? 'cuda:0' : 'cpu'
  const index = device === 'cuda' ? 0 : Number(device.slice('cuda:'.length))
  if (index < count) return `cuda:${index}`
  const found =
    count === 0 ? 'no CUDA device' : `${count} CUDA device${count === 1 ? '' : 's'}, cuda:0 to cuda:${count - 1}`
  throw new DpmError(
    'DPM_DEVICE_UNAVAILABLE',
    `The device "${device}" was asked for but there is ${found}. Use --device cpu (\`device: 'cpu'\`), or run \`npx dpm-torch doctor\` to see why.`,
    { details: { device, count } },
  )
}
