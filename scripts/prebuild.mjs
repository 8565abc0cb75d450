#!/usr/bin/env node
// npm run prebuilds: fills prebuilds/linux-x64 with dpm-torch.glibc.node and the libraries beside it, stripped, as
// node-gyp-build looks for them and npm ships them. --no-cuda leaves out libdpm_cuda.so, for which nvcc is fetched.
import { execFileSync } from 'node:child_process'
import { copyFileSync, readdirSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { compiled, main, Problem, root } from './build-addon.mjs'
import { buildCuda } from './build-cuda.mjs'

const folder = join(root, 'prebuilds', `${process.platform}-${process.arch}`)

/** The newest version of a symbol set that a library asks for, e.g. `2.34` for GLIBC; null without binutils. */
function newestSymbol(path, set) {
  try {
    const symbols = execFileSync('objdump', ['-T', path], { encoding: 'utf8', maxBuffer: 1 << 28 })
    const versions = [...symbols.matchAll(new RegExp(`\\b${set}_(\\d+(?:\\.\\d+)+)`, 'g'))].map((match) => match[1])
    return versions.sort((a, b) => a.localeCompare(b, 'en', { numeric: true })).at(-1) ?? null
  } catch {
    return null
  }
}

await main(async () => {
  const { oldestGlibc, compareVersions } = await compiled('libtorch/platform.js')
  const prebuildify = promisify(createRequire(import.meta.url)('prebuildify'))
  await prebuildify({
    cwd: root,
    name: 'dpm-torch',
    napi: true,
    tagLibc: true,
    strip: true,
    nodeGyp: join(root, 'scripts', 'node-gyp-shim.mjs'),
  })
  // prebuildify moves the entry; the checkout's own build keeps one too.
  copyFileSync(join(folder, 'dpm-torch.glibc.node'), join(root, 'build', 'Release', 'dpm-torch.node'))
  if (!process.argv.includes('--no-cuda')) await buildCuda({ output: folder })
  const tooNew = []
  for (const name of readdirSync(folder).sort()) {
    const path = join(folder, name)
    const glibc = newestSymbol(path, 'GLIBC')
    console.log(`${path}  ${(statSync(path).size / 1e6).toFixed(1)} MB, needs glibc ${glibc ?? '(no objdump to tell)'}`)
    if (glibc && compareVersions(glibc, oldestGlibc) > 0) tooNew.push(name)
  }
  if (tooNew.length === 0) return
  const message =
    `${tooNew.join(', ')} need a newer glibc than ${oldestGlibc}, which libtorch itself is content with. To publish, ` +
    'build in a manylinux_2_28 container.'
  if (process.argv.includes('--strict')) throw new Problem(message)
  console.warn(message)
})
