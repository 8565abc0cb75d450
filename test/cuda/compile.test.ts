/**
 * The CUDA library is compiled and opened where no GPU is: the compiler comes from the user's own package index, and the
 * CUDA runtime loads without a driver.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'dpm-cuda-compile-'))
const compiler = process.env.CXX ?? 'c++'
let library = ''
let nvcc = ''

function run(program: string, args: readonly string[]): string {
  return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
}

beforeAll(() => {
  nvcc = run(process.execPath, [join(root, 'scripts', 'nvcc.mjs')]).trim()
  const output = join(folder, 'output')
  run(process.execPath, [
    join(root, 'scripts', 'build-cuda.mjs'),
    `--work=${join(folder, 'work')}`,
    `--output=${output}`,
  ])
  library = join(output, 'libdpm_cuda.so')
}, 600_000)

afterAll(() => rmSync(folder, { recursive: true, force: true }))

test('an installed nvcc is not fetched again', () => {
  const { stdout, stderr } = spawnSync(process.execPath, [join(root, 'scripts', 'nvcc.mjs')], { encoding: 'utf8' })
  expect(stdout.trim()).toBe(nvcc)
  expect(stderr).not.toContain('getting')
})

test("an index that does not answer is said in pip's own words, and leaves nothing behind", ({ skip }) => {
  if (process.env.PATH?.split(':').includes(dirname(nvcc))) skip('the nvcc on PATH is used')
  const cache = join(folder, 'cache')
  const settings = {
    DPM_TORCH_HOME: cache,
    PIP_INDEX_URL: 'http://127.0.0.1:9/',
    PIP_RETRIES: '0',
    PIP_CONFIG_FILE: '/dev/null',
  }
  const child = spawnSync(process.execPath, [join(root, 'scripts', 'nvcc.mjs')], {
    encoding: 'utf8',
    env: { ...process.env, PIP_FIND_LINKS: '', PIP_EXTRA_INDEX_URL: '', ...settings },
  })
  expect(child.status).toBe(1)
  expect(child.stdout).toBe('')
  expect(child.stderr).toMatch(/pip could not get nvcc 13\.2\.86: .*nvidia-cuda-nvcc/)
  expect(readdirSync(cache)).toEqual([])
})

test('the library exports its table alone, and names no CUDA runtime of its own', () => {
  const exported = run('nm', ['-D', '--defined-only', library]).trim().split('\n')
  expect(exported.map((line) => line.split(' ').at(-1))).toEqual(['dpm_cuda_kernels'])
  expect(run('readelf', ['-d', library])).not.toContain('libcudart')
})

test('it holds machine code for every target, and PTX for what comes after', () => {
  const code = fatBinaryTargets(readFileSync(library))
  expect([...code.machine].sort((a, b) => a - b)).toEqual([75, 80, 86, 89, 90, 100, 120])
  expect([...code.ptx]).toEqual([120])
})

test('the core opens it beside itself, on a CUDA runtime without a driver; its table is complete', () => {
  const there = openFrom(dirname(library))
  expect(there).toBe('1 out of memory\n')
})

test('a core without it says which file is missing, and the cure', () => {
  const absent = openFrom(folder)
  expect(absent).toMatch(/^DPM_DEVICE_UNAVAILABLE .*libdpm_cuda\.so.*build-cuda\.mjs/)
})

test('a library of another layout than the core is refused', () => {
  const other = join(folder, 'other')
  mkdirSync(other)
  writeFileSync(
    join(other, 'other.cpp'),
    'extern "C" const void* dpm_cuda_kernels() { static const long table[9] = {}; return table; }',
  )
  run(compiler, ['-shared', '-fPIC', '-o', join(other, 'libdpm_cuda.so'), join(other, 'other.cpp')])
  expect(openFrom(other)).toMatch(/^DPM_DEVICE_UNAVAILABLE .*another version/)
})

/** What a program in that folder finds when it asks for the kernels as the core does: the core's own source is in it. */
function openFrom(place: string): string {
  const source = join(folder, 'open.cpp')
  writeFileSync(
    source,
    `#include <dlfcn.h>
    #include <cstdio>
    #include "cuda/open_cuda_kernels.h"
    #include "error.h"
    int main(int, char** arguments) {
      // As the entry opens libtorch, and with it the runtime.
      if (!dlopen(arguments[1], RTLD_NOW | RTLD_GLOBAL)) return std::puts(dlerror()), 1;
      try {
        const dpm::CudaKernels& table = dpm::cuda_kernels();
        const bool complete = table.normals && table.noise_step && table.combine && table.loss && table.squared_norm &&
                              table.optimizer && table.dropout;
        std::printf("%d %s\\n", complete, table.describe(2));
      } catch (const dpm::Error& error) {
        std::printf("%s %s\\n", error.code().c_str(), error.what());
      }
    }`,
  )
  const program = join(place, 'open')
  const opener = join(root, 'native', 'engine', 'cuda', 'open_cuda_kernels.cpp')
  run(compiler, ['-std=c++20', `-I${join(root, 'native', 'engine')}`, '-o', program, source, opener, '-ldl'])
  return run(program, [cudaRuntime()])
}

/** The compiler's own: `lib` in the packages of the Python index, `lib64` in a toolkit. */
function cudaRuntime(): string {
  const home = dirname(dirname(nvcc))
  const found = ['lib', 'lib64'].map((name) => join(home, name, 'libcudart.so.13')).find((path) => existsSync(path))
  if (found === undefined) throw new Error(`There is no libcudart.so.13 beside ${nvcc}.`)
  return found
}

/**
 * Compute capabilities in a library's fat binaries. A container is a magic number, version, header size and size; its
 * parts begin with kind (1 PTX, 2 machine code), header size, size, and at byte 28 the capability.
 */
function fatBinaryTargets(file: Buffer): { machine: Set<number>; ptx: Set<number> } {
  const magic = Buffer.from([0x50, 0xed, 0x55, 0xba, 1, 0])
  const machine = new Set<number>()
  const ptx = new Set<number>()
  for (let at = file.indexOf(magic); at >= 0; at = file.indexOf(magic, at + 1)) {
    const begin = at + file.readUInt16LE(at + 6)
    const end = begin + Number(file.readBigUInt64LE(at + 8))
    for (let part = begin; part < end; ) {
      const targets = file.readUInt16LE(part) === 1 ? ptx : machine
      targets.add(file.readUInt32LE(part + 28))
      part += file.readUInt32LE(part + 4) + Number(file.readBigUInt64LE(part + 8))
    }
  }
  return { machine, ptx }
}
