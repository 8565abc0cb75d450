import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { cacheFolder, receiptName } from '../../lib/libtorch/cache.js'
import { discoverLibtorch, readLibtorchVersion } from '../../lib/libtorch/discover.js'
import { fitsCore, libtorchAbi, wheelKeeps, zipAddress } from '../../lib/libtorch/manifest.js'
import { compareVersions, platformObstacle, requirePlatform } from '../../lib/libtorch/platform.js'
import { configure, loadBinding } from '../../lib/native/load.js'

let home = ''
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'dpm-discover-'))
})
afterEach(() => rmSync(home, { recursive: true, force: true }))

function write(path: string, text = ''): void {
  const target = join(home, path)
  mkdirSync(dirname(target), { recursive: true })
  writeFileSync(target, text)
}

/** An unpacked zip: empty libraries and a version. */
function libtorch(folder: string, version = '2.15.0+cpu', libraries = ['libc10.so', 'libtorch_cpu.so']): string {
  for (const name of libraries) write(`${folder}/lib/${name}`)
  write(`${folder}/build-version`, `${version}\n`)
  return join(home, folder)
}

function cached(flavour: 'cpu' | 'cuda', sizeBytes = 0): void {
  const entry = `cache/libtorch-2.15.0-${flavour}`
  const cuda = flavour === 'cuda' ? ['libc10_cuda.so', 'libtorch_cuda.so'] : []
  libtorch(`${entry}/libtorch`, `2.15.0+${flavour}`, ['libc10.so', 'libtorch_cpu.so', ...cuda])
  const libraries = [{ path: 'libtorch/lib/libtorch_cpu.so', sizeBytes }]
  const receipt = {
    format: 1,
    version: `2.15.0+${flavour}`,
    flavour,
    source: 'test',
    root: 'libtorch',
    libraries,
    totalBytes: 0,
  }
  write(`${entry}/${receiptName}`, JSON.stringify(receipt))
}

const find = (environment: Record<string, string> = {}, more = {}) =>
  discoverLibtorch({ environment: { DPM_TORCH_HOME: join(home, 'cache'), ...environment }, cuda: false, ...more })

describe('order', () => {
  test('configure, then DPM_TORCH_LIBTORCH, then LIBTORCH, then the cache, then beside the prebuild', () => {
    const first = libtorch('first')
    const second = libtorch('second')
    const third = libtorch('third')
    const prebuild = dirname(libtorch('prebuild/libtorch'))
    const environment = { DPM_TORCH_LIBTORCH: second, LIBTORCH: third }
    expect(find({}, { prebuild })).toMatchObject({ source: 'prebuild' })
    cached('cpu')
    expect(find({}, { prebuild })).toMatchObject({ source: 'cache', flavour: 'cpu' })
    expect(find({ LIBTORCH: third }, { prebuild })).toMatchObject({ source: 'LIBTORCH', root: third })
    expect(find(environment)).toMatchObject({ source: 'DPM_TORCH_LIBTORCH', root: second })
    expect(find(environment, { configured: first })).toMatchObject({
      source: 'configure',
      root: first,
      lib: join(first, 'lib'),
    })
  })

  test('the cache gives the flavour that the machine can use, else the one it has', () => {
    cached('cuda')
    expect(find().flavour).toBe('cuda')
    cached('cpu')
    expect(find().flavour).toBe('cpu')
    expect(find({}, { cuda: true }).flavour).toBe('cuda')
  })

  test('the cache folder follows DPM_TORCH_HOME, then XDG_CACHE_HOME', () => {
    expect(cacheFolder({ DPM_TORCH_HOME: '/a', XDG_CACHE_HOME: '/b' })).toBe('/a')
    expect(cacheFolder({ XDG_CACHE_HOME: '/b' })).toBe('/b/dpm-torch')
    expect(cacheFolder({})).toMatch(/\/\.cache\/dpm-torch$/)
  })
})

describe('a folder', () => {
  test('may be the libtorch, its parent, or site-packages', () => {
    const zip = libtorch('unzipped/libtorch')
    expect(find({ LIBTORCH: dirname(zip) }).root).toBe(zip)
    for (const name of ['libc10.so', 'libtorch_cpu.so']) write(`site/torch/lib/${name}`)
    write('site/torch/version.py', "from typing import Optional\n__version__ = '2.15.0+cu132'\n")
    write('site/torch/include/ATen/ATen.h')
    const root = join(home, 'site', 'torch')
    expect(find({ LIBTORCH: join(home, 'site') })).toMatchObject({
      root,
      version: '2.15.0+cu132',
      include: join(root, 'include'),
    })
  })

  test('says its version by build-version, version.py, dist-info or header', () => {
    expect(readLibtorchVersion(libtorch('zip', '2.15.1+cpu'))).toBe('2.15.1+cpu')
    write('site/torch-2.15.3.dist-info/METADATA')
    write('site/torch/lib/libtorch_cpu.so')
    expect(readLibtorchVersion(join(home, 'site/torch'))).toBe('2.15.3')
    const header = '#define TORCH_VERSION_MAJOR 2\n#define TORCH_VERSION_MINOR 15\n#define TORCH_VERSION_PATCH 4\n'
    write('headers/include/torch/headeronly/version.h', header)
    expect(readLibtorchVersion(join(home, 'headers'))).toBe('2.15.4')
    expect(readLibtorchVersion(home)).toBeNull()
  })
})

describe('a bad choice is an error, never passed over', () => {
  test.each([['DPM_TORCH_LIBTORCH'], ['LIBTORCH']])('%s without libtorch', (name) => {
    cached('cpu')
    const missing = join(home, 'nowhere')
    expect(() => find({ [name]: missing })).toThrow(new RegExp(`${name} but ${missing} does not exist. Unset ${name}`))
    expect(() => find({ [name]: home })).toThrow(expect.objectContaining({ code: 'DPM_LIBTORCH_MISSING' }))
  })

  test('another version', () => {
    cached('cpu')
    const old = libtorch('old', '2.14.1+cpu')
    expect(() => find({ LIBTORCH: old })).toThrow(/Expected libtorch 2.15 in .*old .* but it is 2.14.1\+cpu/)
    expect(() => find({ LIBTORCH: old })).toThrow(expect.objectContaining({ code: 'DPM_LIBTORCH_MISMATCH' }))
    expect(() => find({}, { configured: old })).toThrow(/configure/)
  })

  test('libraries that are missing', () => {
    const half = libtorch('half', '2.15.0+cpu', ['libtorch_cpu.so'])
    expect(() => find({ LIBTORCH: half })).toThrow(/incomplete: libc10.so is missing/)
  })

  test('a cache entry whose library was cut short since', () => {
    cached('cpu', 12)
    expect(() => find()).toThrow(/incomplete. Run `npx dpm-torch setup --force`/)
  })

  test('nothing anywhere names the command that mends it', () => {
    expect(() => find()).toThrow(/Run `npx dpm-torch setup`/)
    expect(() => find()).toThrow(expect.objectContaining({ code: 'DPM_LIBTORCH_MISSING' }))
  })
})

describe('pins', () => {
  test('the interface number is what torch/headeronly/version.h computes, two upper bytes of it', () => {
    const abi = (2n << 56n) | (15n << 48n)
    expect(BigInt(libtorchAbi)).toBe(abi >> 48n)
  })

  test('patch releases fit, other minors do not', () => {
    expect(['2.15.0+cu132', '2.15.7', '2.15'].every(fitsCore)).toBe(true)
    expect(['2.1.5', '2.16.0', '2.150.0', '12.15.0'].some(fitsCore)).toBe(false)
  })

  test('the CPU flavour of a CUDA wheel leaves out what links CUDA', () => {
    const kept = [
      'torch/lib/libc10.so',
      'torch/lib/libtorch_cpu.so',
      'torch/lib/libgomp.so.1',
      'nvidia/cu13/lib/libcudart.so.13',
      'torch/include/ATen/ATen.h',
    ]
    const dropped = [
      'torch/lib/libtorch.so',
      'torch/lib/libtorch_cuda.so',
      'torch/lib/libc10_cuda.so',
      'nvidia/cu13/lib/libnvperf_host.so',
    ]
    const python = ['torch/nn/modules/conv.py', 'torch/lib/libtorch_python.so', 'torchgen/model.py']
    expect(kept.filter((path) => wheelKeeps(path, 'cpu'))).toEqual(kept)
    expect(dropped.filter((path) => wheelKeeps(path, 'cpu'))).toEqual([])
    expect(dropped.filter((path) => wheelKeeps(path, 'cuda'))).toEqual(dropped)
    expect(python.filter((path) => wheelKeeps(path, 'cuda'))).toEqual([])
  })

  test('the zip has the address that pytorch.org gives', () => {
    expect(zipAddress('cpu')).toBe(
      'https://download.pytorch.org/libtorch/cpu/libtorch-shared-with-deps-2.15.0%2Bcpu.zip',
    )
    expect(zipAddress('cuda', 'https://mirror/x/')).toBe(
      'https://mirror/x/cu132/libtorch-shared-with-deps-2.15.0%2Bcu132.zip',
    )
  })
})

describe('platform', () => {
  const linux = { system: 'linux', processor: 'x64', glibc: '2.36' }

  test('musl, an old glibc and other systems are named', () => {
    expect(platformObstacle(linux)).toBeNull()
    expect(platformObstacle({ ...linux, glibc: null })).toMatch(/musl/)
    expect(platformObstacle({ ...linux, glibc: '2.17' })).toMatch(/glibc 2.17/)
    expect(platformObstacle({ ...linux, system: 'darwin' })).toMatch(/darwin on x64/)
    expect(() => requirePlatform({ ...linux, processor: 'arm64' })).toThrow(
      expect.objectContaining({ code: 'DPM_PLATFORM_UNSUPPORTED' }),
    )
  })

  test('is named where opening fails, before whatever is missing; where it can run libtorch, that is named', () => {
    const real = Object.getOwnPropertyDescriptor(process, 'arch') ?? {}
    const report = vi.spyOn(process.report, 'getReport')
    configure({ libtorch: '/no/such/libtorch' })
    try {
      Object.defineProperty(process, 'arch', { ...real, value: 'arm64' })
      expect(() => loadBinding()).toThrow(expect.objectContaining({ code: 'DPM_PLATFORM_UNSUPPORTED' }))
      Object.defineProperty(process, 'arch', real)
      expect(() => loadBinding()).toThrow(expect.objectContaining({ code: expect.stringMatching(/_MISSING$/) }))
      expect(report).toHaveBeenCalledTimes(2)
    } finally {
      Object.defineProperty(process, 'arch', real)
      configure({})
      report.mockRestore()
    }
  })

  test('versions compare by number', () => {
    expect(compareVersions('2.9', '2.28')).toBeLessThan(0)
    expect(compareVersions('2.28', '2.28.0')).toBe(0)
    expect(compareVersions('3', '2.99')).toBeGreaterThan(0)
  })
})
