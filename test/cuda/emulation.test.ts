/** The CUDA kernels on an emulated grid, where there is no GPU: the same sources, their launches rewritten as calls. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { discoverLibtorch } from '../../lib/libtorch/discover.js'

const engine = fileURLToPath(new URL('../../native/engine', import.meta.url))
const emulation = fileURLToPath(new URL('emulation', import.meta.url))

test('every CUDA kernel computes what the CPU computes', () => {
  const { lib, root, include } = discoverLibtorch()
  const folder = mkdtempSync(join(tmpdir(), 'dpm-cuda-emulation-'))
  try {
    const sources = readdirSync(join(engine, 'cuda')).filter((name) => name.endsWith('.cu') && name !== 'table.cu')
    const rewritten = sources.map((name) => {
      const text = readFileSync(join(engine, 'cuda', name), 'utf8')
      const calls = text.replaceAll(/(\w+)<<<([\s\S]+?)>>>\(([^;]*)\);/g, 'emulate_launch($2, [&] { $1($3); });')
      expect(calls, name).toContain('emulate_launch(')
      const path = join(folder, `${name}.cpp`)
      writeFileSync(path, calls)
      return path
    })
    const program = join(folder, 'check')
    execFileSync(process.env.CXX ?? 'c++', [
      ...['-std=c++20', '-O1', '-ffp-contract=off', '-fopenmp', '-pthread', '-o', program],
      ...[`-I${emulation}`, `-I${engine}`, `-I${include ?? join(root, 'include')}`],
      ...[...rewritten, join(emulation, 'check.cpp'), join(engine, 'ops', 'kernels_cpu.cpp')],
      ...[`-L${lib}`, '-ltorch_cpu', '-lc10', `-Wl,-rpath,${lib}`, '-Wl,--allow-shlib-undefined'],
    ])
    const lines = execFileSync(program, { encoding: 'utf8', env: { ...process.env, OMP_NUM_THREADS: '1' } })
      .trim()
      .split('\n')
    expect(lines.filter((line) => !line.endsWith(': same'))).toEqual([])
    const checked = new Set(lines.map((line) => /^[a-z ]+/.exec(line)?.[0].trim()))
    expect(checked).toEqual(
      new Set(['normals', 'noise step', 'combine', 'ratio', 'loss', 'squared norm', 'optimizer', 'dropout']),
    )
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
