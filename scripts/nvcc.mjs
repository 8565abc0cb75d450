#!/usr/bin/env node
// Prints the path of an nvcc that can compile our CUDA kernels: the one on PATH, else one that the user's own pip gets
// from the Python index into the cache folder, once. No GPU, driver or CUDA toolkit is needed.
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, rename, rm } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { compiled, main, Problem } from './build-addon.mjs'

/** The release of CUDA whose runtime the pinned libtorch brings; the kernels run on that runtime. */
const release = { major: 13, minor: 2 }

/** The compiler in the parts that NVIDIA ships it in, all of one version. */
const version = '13.2.86'
const wheels = ['nvidia-cuda-nvcc', 'nvidia-cuda-crt', 'nvidia-nvvm', 'nvidia-cuda-cccl', 'nvidia-cuda-runtime']

const say = (line) => console.error(`nvcc: ${line}`)

function run(program, args, options = {}) {
  return new Promise((resolve) => {
    execFile(program, args, { maxBuffer: 1 << 26, ...options }, (error, stdout, stderr) => {
      resolve({ succeeded: error === null, output: `${stdout}${stderr}` })
    })
  })
}

/** `{ major, minor }` of a compiler, or null when it does not answer as one. */
async function releaseOf(nvcc) {
  const { output } = await run(nvcc, ['--version'])
  const [, major, minor] = /release (\d+)\.(\d+)/.exec(output) ?? []
  return major === undefined ? null : { major: Number(major), minor: Number(minor) }
}

/**
 * Another major release has another runtime than libtorch's, and a later minor may call what that runtime does not have.
 */
async function findOnPath() {
  for (const folder of (process.env.PATH ?? '').split(delimiter).filter(Boolean)) {
    const nvcc = join(folder, 'nvcc')
    if (!existsSync(nvcc)) continue
    const found = await releaseOf(nvcc)
    if (found && found.major === release.major && found.minor <= release.minor) return nvcc
    const shown = found ? `is release ${found.major}.${found.minor}` : 'does not tell its release'
    say(
      `${nvcc} ${shown}, expected ${release.major}.0 to ${release.major}.${release.minor}; taking one from the Python index instead`,
    )
    return null
  }
  return null
}

/** @throws Problem when there is no pip, or when it cannot get the compiler. */
async function install(folder) {
  const { findPip } = await compiled('libtorch/pip.js')
  const pip = await findPip()
  if (pip === null) {
    throw new Problem(
      `There is no nvcc ${release.major}.${release.minor} on PATH and no pip to get one with. Install Python's pip, or put nvcc on PATH.`,
    )
  }
  say(`getting nvcc ${version} from the Python index with pip ${pip.version}, about 115 MB`)
  const partial = `${folder}.part-${process.pid}`
  const [program, ...rest] = pip.command
  try {
    await mkdir(partial, { recursive: true })
    const { succeeded, output } = await run(
      program,
      [
        ...[
          ...rest,
          'install',
          '--no-deps',
          '--only-binary=:all:',
          '--no-compile',
          '--progress-bar',
          'off',
          '--target',
          partial,
        ],
        ...wheels.map((name) => `${name}==${version}`),
      ],
      {
        env: {
          ...process.env,
          PIP_DISABLE_PIP_VERSION_CHECK: '1',
          PIP_NO_INPUT: '1',
          PIP_ROOT_USER_ACTION: 'ignore',
        },
      },
    )
    if (!succeeded)
      throw new Problem(`pip could not get nvcc ${version}: ${output.trim().split('\n').slice(-3).join(' ')}`)
    // Another process may have been faster: then its folder is as good as ours.
    await rename(partial, folder).catch((error) => {
      if (!existsSync(folder)) throw error
    })
  } finally {
    await rm(partial, { recursive: true, force: true })
  }
}

/** The path of nvcc, fetched when it is not there. */
export async function ensureNvcc() {
  const onPath = await findOnPath()
  if (onPath !== null) return onPath
  const { cacheFolder } = await compiled('libtorch/cache.js')
  const folder = join(cacheFolder(), `nvcc-${version}`)
  const nvcc = join(folder, 'nvidia', `cu${release.major}`, 'bin', 'nvcc')
  if (!existsSync(nvcc)) await install(folder)
  if ((await releaseOf(nvcc)) === null)
    throw new Problem(`${nvcc} does not run on this machine. Delete ${folder} and try again.`)
  return nvcc
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await main(async () => console.log(await ensureNvcc()))
}
