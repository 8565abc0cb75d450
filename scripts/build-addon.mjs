#!/usr/bin/env node
import { execFileSync } from 'node:child_process'
// Builds the native addon of a checkout into build/Release with cmake-js. Used by prepare.mjs, by prebuild.mjs (through
// node-gyp-shim.mjs) and by binding.gyp; the compiled lib/ in dist must exist, because it knows where libtorch is.
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { availableParallelism } from 'node:os'
import { join, relative, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

export const root = fileURLToPath(new URL('..', import.meta.url))
const release = join(root, 'build', 'Release')
const stampPath = join(root, 'build', 'addon-stamp.json')
const products = ['dpm-torch.node', 'libdpm_core.so']

/** A problem that its reader can mend: printed without a stack. */
export class Problem extends Error {}

/** Imports a module of the compiled library. */
export function compiled(path) {
  return import(pathToFileURL(join(root, 'dist', path)).href)
}

/** Every file below a folder, sorted. */
export function filesBelow(folder) {
  const found = readdirSync(folder, { recursive: true, withFileTypes: true })
  return found
    .filter((file) => file.isFile())
    .map((file) => join(file.parentPath, file.name))
    .sort()
}

/** What the addon is made from, as one number: sources, build files, libtorch. */
function fingerprint(libtorch) {
  const sources = ['native', 'cmake'].flatMap((folder) => filesBelow(join(root, folder)))
  const hash = createHash('sha256').update(`${libtorch.root}\0${libtorch.version}\0`)
  for (const path of [...sources, join(root, 'CMakeLists.txt')])
    hash.update(relative(root, path)).update('\0').update(readFileSync(path))
  return hash.digest('hex')
}

function readStamp() {
  try {
    return JSON.parse(readFileSync(stampPath, 'utf8'))
  } catch {
    return {}
  }
}

/** Whether build/Release holds the addon of these very sources. */
export function addonIsCurrent(libtorch) {
  return products.every((name) => existsSync(join(release, name))) && readStamp().fingerprint === fingerprint(libtorch)
}

/** The libtorch that a build folder was configured for; CMake keeps the paths that it once found. */
function configuredLibtorch(work) {
  try {
    const cache = readFileSync(join(work, 'CMakeCache.txt'), 'utf8')
    return /^DPM_LIBTORCH_ROOT:\w+=(.*)$/m.exec(cache)?.[1] ?? null
  } catch {
    return null
  }
}

function answers(program) {
  try {
    execFileSync(program, ['--version'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

function requireTools() {
  const missing = []
  if (!answers('cmake')) missing.push('cmake 3.20 or newer')
  const compilers = process.env.CXX ? [process.env.CXX] : ['c++', 'g++', 'clang++']
  if (!compilers.some(answers)) missing.push('a C++20 compiler')
  if (!answers('ninja') && !answers('make')) missing.push('ninja or make')
  if (missing.length === 0) return
  throw new Problem(
    `The addon cannot be built: ${missing.join(' and ')} not found. Install ${missing.length > 1 ? 'them' : 'it'}, ` +
      'for example with `apt-get install cmake ninja-build g++`, and run this again.',
  )
}

/**
 * `work` is CMake's folder; binding.gyp has its own, because node-gyp keeps a Makefile in build/.
 * @param sanitize sanitizers, as gcc's -fsanitize takes them. Such a build has a folder of its own: `work`/Release.
 */
export async function buildAddon(libtorch, work = join(root, 'build'), sanitize = '') {
  requireTools()
  if (!libtorch.include) {
    throw new Problem(
      `The libtorch in ${libtorch.root} has no headers (include/ATen), so the addon cannot be built against it. ` +
        'Run `npx dpm-torch setup` and unset what names that folder.',
    )
  }
  const key = fingerprint(libtorch)
  if (configuredLibtorch(work) !== libtorch.root) rmSync(join(work, 'CMakeCache.txt'), { force: true })
  mkdirSync(work, { recursive: true })
  const output = sanitize === '' ? release : join(work, 'Release')
  if (output === release) rmSync(stampPath, { force: true })

  const require = createRequire(import.meta.url)
  const { BuildSystem } = require('cmake-js')
  const system = new BuildSystem({
    directory: root,
    out: work,
    config: 'Release',
    noLog: true,
    parallel: availableParallelism(),
    cMakeOptions: { DPM_LIBTORCH_ROOT: libtorch.root, DPM_OUTPUT: output, DPM_SANITIZE: sanitize },
  })
  // Headers come from node-api-headers, so nothing is downloaded; package.json says so too, for plain cmake-js.
  system.options.isNodeApi = true
  try {
    await system.configure()
    await system.build()
  } catch (error) {
    throw new Problem(`The addon does not build (${error.message}); the messages above say why.`)
  }
  const absent = products.filter((name) => !existsSync(join(output, name)))
  if (absent.length > 0) throw new Problem(`The build ended without an error but made no ${absent.join(', ')}.`)
  if (output === release) writeFileSync(stampPath, `${JSON.stringify({ fingerprint: key })}\n`)
  return output
}

/** Prints a problem and ends with exit code 1; other errors keep their stack. */
export async function main(work_) {
  try {
    await work_()
  } catch (error) {
    console.error(error instanceof Problem || error.code?.startsWith?.('DPM_') ? error.message : error)
    process.exitCode = 1
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await main(async () => {
    const { discoverLibtorch } = await compiled('libtorch/discover.js')
    const work = process.argv.find((argument) => argument.startsWith('--work='))
    await buildAddon(discoverLibtorch(), work && resolve(root, work.slice('--work='.length)))
  })
}
