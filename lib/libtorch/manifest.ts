/** What libtorch dpm-torch runs on: the pinned version, the files of each flavour and the places they come from. */

/** A libtorch that runs on the processor alone, or one that also brings the CUDA libraries. */
export const flavours = ['cpu', 'cuda'] as const
export type Flavour = (typeof flavours)[number]

/**
 * Where `setup` may download from: the official zip, whose SHA-256 the user must give, for nobody publishes it; the Python wheel
 * through pip, whose sum is known; or the first of these that can be checked and answers.
 */
export const setupSources = ['auto', 'zip', 'pip'] as const

/** The release that `setup` installs. */
export const libtorchVersion = '2.15.0'

/** Any patch release of this minor has the C++ interface that the core was built against. */
export const libtorchMinor = '2.15'

/** The CUDA release of the pinned builds, as the file names on the download server spell it. */
export const cudaTag = 'cu132'

/**
 * Upper two bytes of `aoti_torch_abi_version()`, major · 256 + minor: libtorch puts its version into the four upper
 * bytes of that number (torch/headeronly/version.h, `TORCH_ABI_VERSION`). Patch releases keep the C++ interface.
 */
export const libtorchAbi = abiOf(libtorchMinor)

export function abiOf(version: string): number {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  return major * 256 + minor
}

/** True when the core can run on this version of libtorch, e.g. `2.15.1+cu132`. */
export function fitsCore(version: string): boolean {
  return version === libtorchMinor || version.startsWith(`${libtorchMinor}.`)
}

/** Libraries that the entry opens, in order; each finds what it needs itself, through its relative RPATH. */
export const openedLibraries: Readonly<Record<Flavour, readonly string[]>> = {
  cpu: ['libc10.so', 'libtorch_cpu.so'],
  cuda: ['libc10.so', 'libtorch_cpu.so', 'libc10_cuda.so', 'libtorch_cuda.so'],
}

/** A package of the Python index, at the exact version that the pinned torch wheel asks for; its files are in `wheel-files.ts`. */
export interface WheelPin {
  readonly name: string
  readonly version: string
}

const torchWheel: WheelPin = { name: 'torch', version: libtorchVersion }

/** The torch wheel is always a CUDA build: its `libtorch_cpu.so` links these two even where there is no GPU. */
const runtimeWheels: readonly WheelPin[] = [
  { name: 'nvidia-cuda-runtime', version: '13.2.86' },
  { name: 'nvidia-cuda-cupti', version: '13.2.86' },
]

const cudaWheels: readonly WheelPin[] = [
  { name: 'nvidia-cublas', version: '13.4.1.3' },
  { name: 'nvidia-cuda-nvrtc', version: '13.2.86' },
  { name: 'nvidia-nvtx', version: '13.2.86' },
  { name: 'nvidia-cufft', version: '12.2.0.57' },
  { name: 'nvidia-cufile', version: '1.17.1.22' },
  { name: 'nvidia-cusolver', version: '12.2.0.11' },
  { name: 'nvidia-cusparse', version: '12.7.10.12' },
  { name: 'nvidia-nvjitlink', version: '13.5.37' },
  { name: 'nvidia-cudnn-cu13', version: '9.26.0.51' },
  { name: 'nvidia-cusparselt-cu13', version: '0.8.1' },
  { name: 'nvidia-nccl-cu13', version: '2.30.7' },
  { name: 'nvidia-nvshmem-cu13', version: '3.7.2' },
]

/** Wheels that together are a libtorch, torch first. */
export const wheelsOf: Readonly<Record<Flavour, readonly WheelPin[]>> = {
  cpu: [torchWheel, ...runtimeWheels],
  cuda: [torchWheel, ...runtimeWheels, ...cudaWheels],
}

/** Python versions whose torch wheel is tried, in order; the C++ libraries in all of them are the same. */
export const wheelPythons = ['3.12', '3.13', '3.11', '3.14'] as const

/** Platform tags of those wheels. pip compares tags literally, so every glibc below the newest in use is listed. */
export const wheelPlatforms: readonly string[] = [
  ...Array.from({ length: 35 }, (_, index) => `manylinux_2_${39 - index}_x86_64`),
  'manylinux2014_x86_64',
  'linux_x86_64',
]

/** Where the official zips lie; a mirror keeps the same paths below another address. */
export const zipServer = 'https://download.pytorch.org/libtorch'

export function zipAddress(flavour: Flavour, server: string = zipServer): string {
  const tag = flavour === 'cuda' ? cudaTag : 'cpu'
  return `${server.replace(/\/+$/, '')}/${tag}/libtorch-shared-with-deps-${libtorchVersion}%2B${tag}.zip`
}

/**
 * Rough bytes of free disk that a setup takes at its peak (archives and unpacked files), to fail before the download
 * rather than after it. What an archive declares is checked exactly once it is there.
 */
export const peakBytes: Readonly<Record<'zip' | 'pip' | 'from', Readonly<Record<Flavour, number>>>> = {
  zip: { cpu: 0.9e9, cuda: 7e9 },
  pip: { cpu: 1.8e9, cuda: 8e9 },
  from: { cpu: 0.6e9, cuda: 5e9 },
}

const wheelNoise = /^torch\/lib\/(libtorch_python|libshm|libgfortran)/
const cudaOnly = /^torch\/lib\/lib(torch_cuda|c10_cuda|caffe2_nvrtc|torch_nvshmem|torch_cuda_linalg|torch)\./

/** Whether a file of a torch or nvidia wheel (a path inside it) is part of this flavour of libtorch. */
export function wheelKeeps(path: string, flavour: Flavour): boolean {
  if (/^[^/]+\.dist-info\/(METADATA|RECORD|WHEEL$|licenses\/)/.test(path)) return true
  if (path === 'torch/version.py' || path.startsWith('torch/include/')) return true
  if (path.startsWith('torch/lib/')) {
    if (!/\.so(\.\d+)*$/.test(path) || wheelNoise.test(path)) return false
    // libtorch.so of a CUDA build only names the others, libtorch_cuda.so among them: it cannot be opened without it.
    return flavour === 'cuda' || !cudaOnly.test(path)
  }
  if (!/^nvidia\/.*\.so(\.\d+)*$/.test(path)) return false
  return flavour === 'cuda' || /\/lib(cudart|cupti)\.so/.test(path)
}

/** Whether a file of an official libtorch zip (a path inside its `libtorch/` folder) is kept. */
export function zipKeeps(path: string): boolean {
  return path === 'build-version' || path.startsWith('include/') || /^lib\/[^/]+\.so(\.\d+)*$/.test(path)
}
