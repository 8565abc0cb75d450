#!/usr/bin/env node
// Builds the CUDA kernels, libdpm_cuda.so, beside the core of a checkout. Needs a C++ compiler, CMake and a libtorch; nvcc
// is fetched where it is missing, and no GPU is needed.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { compiled, main, Problem, root } from './build-addon.mjs'
import { ensureNvcc } from './nvcc.mjs'

function cmake(args) {
  const { status, error } = spawnSync('cmake', args, { stdio: 'inherit' })
  if (error) throw new Problem(`CMake does not start (${error.message}). Install cmake 3.20 or newer.`)
  if (status !== 0) throw new Problem(`\`cmake ${args.join(' ')}\` failed; its messages above say why.`)
}

/** Returns the library's path. `work` is CMake's folder, `output` where the library goes. */
export async function buildCuda({ work = join(root, 'build', 'cuda'), output = join(root, 'build', 'Release') } = {}) {
  const { discoverLibtorch } = await compiled('libtorch/discover.js')
  const nvcc = await ensureNvcc()
  const settings = {
    DPM_CUDA: 'ON',
    DPM_NVCC: nvcc,
    DPM_LIBTORCH_ROOT: discoverLibtorch().root,
    DPM_OUTPUT: output,
  }
  cmake(['-S', root, '-B', work, ...Object.entries(settings).map(([name, value]) => `-D${name}=${value}`)])
  cmake(['--build', work, '--target', 'dpm_cuda'])
  const library = join(output, 'libdpm_cuda.so')
  if (!existsSync(library)) throw new Problem(`The build ended without an error but made no ${library}.`)
  return library
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await main(async () => {
    const { values } = parseArgs({ options: { work: { type: 'string' }, output: { type: 'string' } } })
    await buildCuda(values)
  })
}
