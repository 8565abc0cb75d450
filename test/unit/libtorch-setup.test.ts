import { createHash } from 'node:crypto'
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { strToU8, zipSync } from 'fflate'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { discoverLibtorch } from '../../lib/libtorch/discover.js'
import { acquireInstallLock } from '../../lib/libtorch/install-lock.js'
import { SetupOptions, setupLibtorch } from '../../lib/libtorch/setup.js'

// Sums of the real wheels would let none of these in.
const known = vi.hoisted((): Record<string, { file: string; sizeBytes: number; sha256: string }[]> => ({}))
vi.mock('../../lib/libtorch/wheel-files.js', () => ({ wheelFiles: known }))

let folder = ''
let cache = ''
let servers: Server[] = []
beforeEach(async () => {
  for (const [file, bytes] of Object.entries(wheels())) {
    const [name = ''] = file.split('-')
    known[name.replaceAll('_', '-')] = [{ file, sizeBytes: bytes.length, sha256: sumOf(bytes) }]
  }
  folder = await mkdtemp(join(tmpdir(), 'dpm-setup-'))
  cache = join(folder, 'cache')
})
afterEach(async () => {
  vi.unstubAllEnvs()
  for (const server of servers) server.close()
  servers = []
  await rm(folder, { recursive: true, force: true })
})

type Files = Record<string, string>

const sumOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

/** A wheel whose RECORD holds the SHA-256 of each file, or of what `lies` says instead. */
function wheel(name: string, version: string, files: Files, lies: Files = {}): Uint8Array {
  const information = `${name.replaceAll('-', '_')}-${version}.dist-info`
  const all: Files = { ...files, [`${information}/METADATA`]: `Name: ${name}\nVersion: ${version}\n` }
  const record = Object.entries(all).map(([path, text]) => {
    const digest = createHash('sha256')
      .update(lies[path] ?? text)
      .digest('base64url')
    return `${path},sha256=${digest},${text.length}`
  })
  return zip({ ...all, [`${information}/RECORD`]: `${[...record, `${information}/RECORD,,`].join('\n')}\n` })
}

function zip(files: Files): Uint8Array {
  const entries = Object.entries(files).map(([path, text]) => [path, strToU8(text)] as const)
  // A time of its own would give the same files another sum.
  return zipSync(Object.fromEntries(entries), { mtime: '2026-01-01' })
}

const torchFiles = (version = '2.15.0'): Files => ({
  'torch/version.py': `__version__ = '${version}+cu132'\n`,
  'torch/lib/libc10.so': 'c10',
  'torch/lib/libtorch_cpu.so': 'cpu'.repeat(500_000),
  'torch/lib/libtorch_cuda.so': 'cuda',
  'torch/lib/libc10_cuda.so': 'c10 cuda',
  'torch/lib/libtorch_python.so': 'python',
  'torch/include/ATen/ATen.h': '// header',
  'torch/nn/__init__.py': '',
})
const torchWheel = 'torch-2.15.0-cp312-cp312-manylinux_2_28_x86_64.whl'
const wheels = (): Record<string, Uint8Array> => ({
  [torchWheel]: wheel('torch', '2.15.0', torchFiles()),
  'nvidia_cuda_runtime-13.2.86-py3-none-any.whl': wheel('nvidia-cuda-runtime', '13.2.86', {
    'nvidia/cu13/lib/libcudart.so.13': 'cudart',
  }),
  'nvidia_cuda_cupti-13.2.86-py3-none-any.whl': wheel('nvidia-cuda-cupti', '13.2.86', {
    'nvidia/cu13/lib/libcupti.so.13': 'cupti',
  }),
})
const officialZip = (version = '2.15.0+cpu') =>
  zip({
    'libtorch/build-version': `${version}\n`,
    'libtorch/lib/libc10.so': 'c10',
    'libtorch/lib/libtorch_cpu.so': 'cpu',
    'libtorch/lib/libtorch.a': 'static',
    'libtorch/include/ATen/ATen.h': '// header',
    'libtorch/share/cmake/Torch.cmake': '',
  })

async function put(files: Record<string, Uint8Array>): Promise<string> {
  const place = join(folder, 'from')
  await mkdir(place, { recursive: true })
  for (const [name, bytes] of Object.entries(files)) await writeFile(join(place, name), bytes)
  return place
}

function setup(
  options: Record<string, unknown>,
  messages: string[] = [],
  signal?: AbortSignal,
  environment: Record<string, string> = {},
) {
  return setupLibtorch(
    { flavour: 'cpu', ...options },
    { environment: { DPM_TORCH_HOME: cache, ...environment }, onMessage: (line) => messages.push(line), signal },
  )
}

async function serve(handle: Parameters<typeof createServer>[1]): Promise<string> {
  const server = createServer(handle)
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** Programs called python3, python, pip3 and pip that answer as told, first in the PATH. */
async function standInPip(script: string): Promise<void> {
  const programs = join(folder, 'bin')
  await mkdir(programs)
  for (const name of ['python3', 'python', 'pip3', 'pip']) {
    await writeFile(join(programs, name), `#!/bin/sh\n${script}\n`)
    await chmod(join(programs, name), 0o755)
  }
  vi.stubEnv('PATH', `${programs}${delimiter}${process.env.PATH}`)
}
const noPip = 'exit 1'
/** Copies the wheel that was asked for out of a folder. */
const copyingPip = (place: string) => `
case "$*" in *--version*) echo "pip 99.0 from nowhere"; exit 0;; esac
for word in "$@"; do [ "$previous" = --dest ] && dest="$word"; [ "$word" = --require-hashes ] && hashed=1; previous="$word"; last="$word"; done
[ "$hashed" = 1 ] && grep -q -- ' --hash=sha256:[0-9a-f]\\{64\\}' "$last" || exit 3
name=$(sed 's/==.*//; s/-/_/g' "$last")
cp ${place}/$name-* "$dest/"`

describe('from what the user has', () => {
  test('a wheel with the nvidia wheels beside it: the parts that the flavour needs, and a receipt', async () => {
    const place = await put(wheels())
    const result = await setup({ from: join(place, torchWheel) })
    expect(result).toMatchObject({ installed: true, folder: join(cache, 'libtorch-2.15.0-cpu') })
    expect(result.libtorch).toMatchObject({ version: '2.15.0+cu132', flavour: 'cpu', source: 'cache' })
    expect((await readdir(result.libtorch.lib)).sort()).toEqual(['libc10.so', 'libtorch_cpu.so'])
    expect(await readFile(join(result.libtorch.lib, 'libtorch_cpu.so'), 'utf8')).toBe('cpu'.repeat(500_000))
    // Where the RPATH $ORIGIN/../../nvidia/cu13/lib of the libraries leads.
    expect(await readFile(join(result.libtorch.lib, '../../nvidia/cu13/lib/libcudart.so.13'), 'utf8')).toBe('cudart')
    expect(await readdir(cache)).toEqual(['libtorch-2.15.0-cpu'])
    expect(discoverLibtorch({ environment: { DPM_TORCH_HOME: cache }, cuda: false })).toEqual(result.libtorch)
  })

  test('a folder with wheels, an official zip, an unpacked libtorch', async () => {
    const place = await put(wheels())
    expect((await setup({ from: place })).libtorch.flavour).toBe('cpu')
    const first = join(cache, 'libtorch-2.15.0-cpu')
    // site-packages, as the first setup left them
    cache = join(folder, 'second')
    const copied = await setup({ from: first })
    expect(copied.libtorch).toMatchObject({
      root: join(cache, 'libtorch-2.15.0-cpu', 'torch'),
      version: '2.15.0+cu132',
    })
    cache = join(folder, 'third')
    await writeFile(join(folder, 'libtorch.zip'), officialZip())
    const unzipped = await setup({ from: join(folder, 'libtorch.zip') })
    expect(unzipped.libtorch).toMatchObject({
      root: join(cache, 'libtorch-2.15.0-cpu', 'libtorch'),
      version: '2.15.0+cpu',
    })
    expect(await readdir(unzipped.libtorch.lib)).toEqual(['libc10.so', 'libtorch_cpu.so'])
  })

  test('a second setup changes nothing, and --force replaces', async () => {
    const place = await put(wheels())
    await setup({ from: place })
    const marked = join(cache, 'libtorch-2.15.0-cpu', 'mark')
    await writeFile(marked, '')
    expect((await setup({ from: place })).installed).toBe(false)
    expect(await readdir(join(cache, 'libtorch-2.15.0-cpu'))).toContain('mark')
    expect((await setup({ from: place, force: true })).installed).toBe(true)
    expect(await readdir(join(cache, 'libtorch-2.15.0-cpu'))).not.toContain('mark')
  })

  test.each([
    [
      'another version',
      { 'torch-2.14.0-x.whl': wheel('torch', '2.14.0', torchFiles('2.14.0')) },
      'DPM_LIBTORCH_MISMATCH',
      /is torch 2.14.0/,
    ],
    ['another version of the zip', { 'libtorch-x.zip': officialZip('2.14.1+cpu') }, 'DPM_LIBTORCH_MISMATCH', /2.14.1/],
    [
      'a truncated wheel',
      { [torchWheel]: wheel('torch', '2.15.0', torchFiles()).subarray(0, -100) },
      'DPM_FILE_INVALID',
      /cut short/,
    ],
    [
      'a file that is not the one in RECORD',
      { [torchWheel]: wheel('torch', '2.15.0', torchFiles(), { 'torch/lib/libc10.so': 'other' }) },
      'DPM_FILE_INVALID',
      /libc10.so .* SHA-256/,
    ],
    ['another wheel', { 'torch-9.whl': zip({ 'numpy/__init__.py': '' }) }, 'DPM_FILE_INVALID', /holds neither/],
    ['an empty folder', {}, 'DPM_FILE_INVALID', /no torch-\*.whl/],
  ])('%s is refused and leaves nothing', async (_name, files, code, message) => {
    const place = await put(files)
    const work = setup({ from: place })
    await expect(work).rejects.toThrow(message)
    await expect(work).rejects.toMatchObject({ code })
    expect(await readdir(cache)).toEqual([])
  })

  test('missing nvidia wheels are named when pip cannot bring them', async () => {
    await standInPip(noPip)
    const place = await put({ [torchWheel]: wheel('torch', '2.15.0', torchFiles()) })
    const work = setup({ from: place })
    await expect(work).rejects.toThrow(/nvidia-cuda-runtime==13.2.86 nvidia-cuda-cupti==13.2.86/)
    await expect(work).rejects.toMatchObject({ code: 'DPM_SETUP_FAILED' })
    expect(await readdir(cache)).toEqual([])
  })

  test('a CPU build where CUDA was asked for', async () => {
    const place = await put({ 'libtorch-x.zip': officialZip() })
    await expect(setup({ from: place, flavour: 'cuda' })).rejects.toThrow(/Expected a CUDA build/)
  })
})

describe('from the network', () => {
  const sha256 = sumOf(officialZip())

  test('the zip, where it answers', async () => {
    const asked: (string | undefined)[] = []
    const mirror = await serve((request, response) => {
      asked.push(request.url)
      response.end(officialZip())
    })
    const result = await setup({ sha256: sumOf(officialZip()) }, [], undefined, { DPM_TORCH_MIRROR: mirror })
    expect(asked).toEqual(['/cpu/libtorch-shared-with-deps-2.15.0%2Bcpu.zip'])
    expect(result.libtorch.version).toBe('2.15.0+cpu')
  })

  test('a connection that breaks is continued where it broke', async () => {
    const bytes = officialZip()
    const ranges: (string | undefined)[] = []
    const mirror = await serve((request, response) => {
      ranges.push(request.headers.range)
      if (ranges.length === 1) {
        response.writeHead(200, { 'content-length': bytes.length })
        response.write(bytes.subarray(0, 100), () => setTimeout(() => response.destroy(), 50))
      } else {
        const range = `bytes 100-${bytes.length - 1}/${bytes.length}`
        response.writeHead(206, { 'content-length': bytes.length - 100, 'content-range': range })
        response.end(bytes.subarray(100))
      }
    })
    await setup({ source: 'zip', sha256: sumOf(bytes) }, [], undefined, { DPM_TORCH_MIRROR: mirror })
    expect(ranges).toEqual([undefined, 'bytes=100-'])
  })

  test('a zip that is refused is skipped with a line that says so, and pip is next', async () => {
    await standInPip(copyingPip(await put(wheels())))
    const mirror = await serve((_request, response) => {
      response.writeHead(403).end()
    })
    const messages: string[] = []
    const result = await setup({ sha256 }, messages, undefined, { DPM_TORCH_MIRROR: mirror })
    expect(messages).toHaveLength(1)
    expect(messages[0]).toMatch(/^The official libtorch zip is skipped: 127.0.0.1:\d+: it answered 403 Forbidden$/)
    expect(result.libtorch.version).toBe('2.15.0+cu132')
    expect(await readdir(cache)).toEqual(['libtorch-2.15.0-cpu'])
  })

  test('no source at all: each reason, and the ways out', async () => {
    await standInPip(noPip)
    const mirror = await serve((_request, response) => {
      response.writeHead(404).end()
    })
    const work = setup({ sha256 }, [], undefined, { DPM_TORCH_MIRROR: mirror })
    await expect(work).rejects.toMatchObject({ code: 'DPM_SETUP_FAILED' })
    await expect(work).rejects.toThrow(/it answered 404 Not Found.\n.*there is no pip.*\n.*setup --from FILE/)
    expect(await readdir(cache)).toEqual([])
  })

  test('cancelled while downloading: DPM_ABORTED at once, and nothing is left', async () => {
    const controller = new AbortController()
    const mirror = await serve((_request, response) => {
      response.writeHead(200, { 'content-length': 1000 })
      response.write('PK', () => setTimeout(() => controller.abort(), 50))
    })
    const work = setup({ sha256 }, [], controller.signal, { DPM_TORCH_MIRROR: mirror })
    await expect(work).rejects.toMatchObject({ code: 'DPM_ABORTED', name: 'AbortError' })
    expect(await readdir(cache)).toEqual([])
  })
})

describe('identity', () => {
  test('a zip that is another one is not unpacked, from wherever it comes', async () => {
    await standInPip(noPip)
    const mirror = await serve((_request, response) => response.end(officialZip()))
    const sha256 = 'a'.repeat(64)
    const work = setup({ source: 'zip', sha256 }, [], undefined, { DPM_TORCH_MIRROR: mirror })
    await expect(work).rejects.toThrow(
      new RegExp(`Expected the SHA-256 ${sha256} .* but it has ${sumOf(officialZip())}`),
    )
    await expect(work).rejects.toMatchObject({ code: 'DPM_SETUP_FAILED' })
    expect(await readdir(cache)).toEqual([])
  })

  test('without a sum the zip is not asked for', async () => {
    await standInPip(copyingPip(await put(wheels())))
    let asked = 0
    const mirror = await serve((_request, response) => {
      asked++
      response.end(officialZip())
    })
    const messages: string[] = []
    expect((await setup({}, messages, undefined, { DPM_TORCH_MIRROR: mirror })).libtorch.version).toBe('2.15.0+cu132')
    expect(messages).toEqual([expect.stringMatching(/^DPM_TORCH_MIRROR is not asked: .*--sha256/)])
    const work = setup({ source: 'zip', force: true }, [], undefined, { DPM_TORCH_MIRROR: mirror })
    await expect(work).rejects.toMatchObject({ code: 'DPM_INVALID_OPTION', message: expect.stringMatching(/--sha256/) })
    expect(asked).toBe(0)
  })

  test('a wheel that pip brings and that is another one is not unpacked', async () => {
    const evil = wheel('torch', '2.15.0', { ...torchFiles(), 'torch/lib/libc10.so': 'evil' })
    await standInPip(copyingPip(await put({ ...wheels(), [torchWheel]: evil })))
    const work = setup({})
    await expect(work).rejects.toMatchObject({ code: 'DPM_SETUP_FAILED', message: expect.stringMatching(sumOf(evil)) })
    expect(await readdir(cache)).toEqual([])
  })

  test('what --from names is known, as the sum says, or said to be unverified', async () => {
    const messages: string[] = []
    await setup({ from: await put(wheels()) }, messages)
    expect(messages).toHaveLength(3)
    expect(messages.every((line) => line.endsWith('is a file that dpm-torch knows, by its SHA-256.'))).toBe(true)
    const path = join(folder, 'libtorch-x.zip')
    await writeFile(path, officialZip())
    messages.splice(0)
    await setup({ from: path, force: true }, messages)
    expect(messages).toEqual([expect.stringMatching(/installed unverified: .*Its code will run as you\./)])
    messages.splice(0)
    await setup({ from: path, force: true, sha256: sumOf(officialZip()).toUpperCase() }, messages)
    expect(messages).toEqual([])
    const work = setup({ from: path, force: true, sha256: 'b'.repeat(64) })
    await expect(work).rejects.toMatchObject({ code: 'DPM_FILE_INVALID' })
    await expect(setup({ sha256: 'short' })).rejects.toMatchObject({ code: 'DPM_INVALID_OPTION' })
    await expect(setup({ source: 'pip', sha256: 'b'.repeat(64) })).rejects.toMatchObject({ code: 'DPM_INVALID_OPTION' })
  })

  test('an address that is none is refused before anything is asked', async () => {
    for (const mirror of ['mirror', 'file:///tmp', 'ftp://x']) {
      const work = setup({ source: 'zip', sha256: 'a'.repeat(64) }, [], undefined, { DPM_TORCH_MIRROR: mirror })
      await expect(work).rejects.toMatchObject({ code: 'DPM_INVALID_OPTION' })
    }
  })
})

describe('two at once', () => {
  test('the second waits and finds the work done', async () => {
    const place = await put(wheels())
    const messages: string[] = []
    const results = await Promise.all([setup({ from: place }, messages), setup({ from: place }, messages)])
    expect(results.map((result) => result.installed).sort()).toEqual([false, true])
    expect(messages.filter((line) => line.startsWith('Waiting'))).toHaveLength(1)
  })

  test('a lock whose process is gone is taken over, one that is held is waited for', async () => {
    const path = join(folder, 'lock')
    const first = await acquireInstallLock(path)
    let second = 'waiting'
    const taking = acquireInstallLock(path, { pollMilliseconds: 10 }).then((lock) => {
      second = 'taken'
      return lock
    })
    await new Promise((resolve) => setTimeout(resolve, 60))
    expect(second).toBe('waiting')
    const owner = JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>
    await first.release()
    await (await taking).release()
    // As a killed process leaves it: the number lives on, but in a process that started at another time.
    await writeFile(path, JSON.stringify({ ...owner, token: 'dead', started: '1' }))
    await (await acquireInstallLock(path)).release()
    expect(await readdir(folder)).not.toContain('lock')
  })

  test('what a killed setup left is removed', async () => {
    await mkdir(join(cache, 'libtorch-2.15.0-cpu.part-dead', 'tree'), { recursive: true })
    await setup({ from: await put(wheels()) })
    expect(await readdir(cache)).toEqual(['libtorch-2.15.0-cpu'])
  })
})

test.each([['below a file'], ['on a file system without folders']])(
  'a cache %s says where and how to choose another',
  async (kind) => {
    await writeFile(join(folder, 'file'), '')
    cache = kind === 'below a file' ? join(folder, 'file', 'cache') : '/proc/dpm-torch/cache'
    const work = setup({ from: folder })
    await expect(work).rejects.toMatchObject({ code: 'DPM_WRITE_FAILED' })
    await expect(work).rejects.toThrow(/Set DPM_TORCH_HOME/)
  },
)

test('options are complete and named when wrong', () => {
  expect(SetupOptions.parse({})).toEqual({ source: 'auto', flavour: 'auto', force: false })
  expect(() => SetupOptions.parse({ source: 'zipp' })).toThrow(/one of auto, zip, pip for `source`/)
})
