/** What kind of machine this is, as far as libtorch cares: system, processor, C library, NVIDIA driver. */
import { existsSync, readFileSync } from 'node:fs'
import { DpmError } from '../errors.js'

export interface Platform {
  /** `linux`, `darwin`, `win32` … */
  readonly system: string
  /** `x64`, `arm64` … */
  readonly processor: string
  /** Version of the GNU C library, e.g. `2.36`; null with another C library (musl). */
  readonly glibc: string | null
}

/** libtorch's builds are manylinux_2_28: they call functions that this glibc was the first to have. */
export const oldestGlibc = '2.28'

/** Where this is, Node may run on musl; whose imitation of glibc (gcompat) would open libtorch, and crash in it. */
export const muslLoader = '/lib/ld-musl-x86_64.so.1'

/** Reads the platform of this process; about 5 ms. */
export function readPlatform(): Platform {
  return { system: process.platform, processor: process.arch, glibc: process.platform === 'linux' ? readGlibc() : null }
}

function readGlibc(): string | null {
  const report = process.report as typeof process.report & { excludeNetwork?: boolean }
  const before = report.excludeNetwork
  // Without this the report asks the name server about every open socket, which can take seconds.
  report.excludeNetwork = true
  try {
    const written = report.getReport() as { header?: { glibcVersionRuntime?: string } }
    return written.header?.glibcVersionRuntime ?? null
  } finally {
    report.excludeNetwork = before ?? false
  }
}

/**
 * Why libtorch cannot run on a platform, in one sentence, or null when it can.
 */
export function platformObstacle(platform: Platform): string | null {
  const { system, processor, glibc } = platform
  if (system !== 'linux' || processor !== 'x64') return `this is ${system} on ${processor}`
  if (glibc === null) return 'this Linux uses another C library than glibc (Alpine and its musl, for example)'
  if (compareVersions(glibc, oldestGlibc) < 0) return `this Linux has glibc ${glibc}`
  return null
}

/** @throws DpmError DPM_PLATFORM_UNSUPPORTED where libtorch has no build. */
export function requirePlatform(platform: Platform = readPlatform()): void {
  const obstacle = platformObstacle(platform)
  if (obstacle === null) return
  throw new DpmError(
    'DPM_PLATFORM_UNSUPPORTED',
    `dpm-torch runs on Linux x86-64 with glibc ${oldestGlibc} or newer, but ${obstacle}. ` +
      'A container with Debian 10, Ubuntu 20.04 or later, such as the image node:20-bookworm, has what it needs.',
    { details: { ...platform } },
  )
}

/** Negative, zero or positive as `a` is older than, equal to or newer than `b`, number by number. */
export function compareVersions(a: string, b: string): number {
  const left = a.split('.').map(Number)
  const right = b.split('.').map(Number)
  for (let index = 0; index < Math.max(left.length, right.length); index++) {
    const difference = (left[index] ?? 0) - (right[index] ?? 0)
    if (difference !== 0) return difference
  }
  return 0
}

const driverLibraries = [
  '/usr/lib/x86_64-linux-gnu',
  '/usr/lib64',
  '/usr/lib',
  '/usr/lib/wsl/lib',
  '/run/opengl-driver/lib',
]

/** Version of the NVIDIA driver, `present` where only its library is seen (WSL), or null where there is none. */
export function nvidiaDriver(): string | null {
  try {
    const text = readFileSync('/proc/driver/nvidia/version', 'utf8')
    return /\s(\d+\.\d+(?:\.\d+)?)\s/.exec(text)?.[1] ?? 'present'
  } catch {
    return driverLibraries.some((folder) => existsSync(`${folder}/libcuda.so.1`)) ? 'present' : null
  }
}
