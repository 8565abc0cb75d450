/** What `setup --from` says to archives that nobody would make by accident: an error of ours, and nothing is left. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openZip } from '../../lib/files/zip-archive.js'
import { setupLibtorch } from '../../lib/libtorch/setup.js'
import { craft } from './crafted-zip.js'

let folder = ''
let cache = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'dpm-archives-'))
  cache = join(folder, 'cache')
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const data = Buffer.from('text')
const libraries = ['libtorch/lib/libc10.so', 'libtorch/lib/libtorch_cpu.so']
const whole = [
  ...libraries.map((name) => ({ name, data })),
  { name: 'libtorch/build-version', data: Buffer.from('2.15.0+cpu') },
]

async function setup(from: string) {
  return setupLibtorch({ flavour: 'cpu', from }, { environment: { DPM_TORCH_HOME: cache } })
}

async function install(entries: Parameters<typeof craft>[0]) {
  const path = join(folder, 'libtorch-1.zip')
  writeFileSync(path, craft([...whole, ...entries]))
  return setup(path)
}

const include = (name: string) => ({ name: `libtorch/include/${name}`, data })

describe('names', () => {
  test.each([
    [
      'a file and a folder of one name',
      [include('a'), include('a/b')],
      /"?libtorch\/include\/a"? is in it as a file and as a folder/,
    ],
    ['a folder and then a file of its name', [include('a/b/c'), include('a/b')], /as a file and as a folder/],
    ['an entry for a folder, and a file of its name', [include('a/'), include('a')], /as a file and as a folder/],
    ['a library that is a folder too', [{ name: 'libtorch/lib/libc10.so/x', data }], /as a file and as a folder/],
    ['a name of 300 letters', [include('a'.repeat(300))], /too long for a file system/],
    ['a name of 100 letters of three bytes', [include('山'.repeat(100))], /too long for a file system/],
    ['a path of 5000 letters', [include('ab/'.repeat(1700))], /too long for a file system/],
    ['a folder that is itself', [include('.')], /no name of a file/],
    ['a folder that is itself, further up', [include('./x')], /no name of a file/],
    ['a name of nothing', [include('/x')], /no name of a file/],
    ['nothing at all', [{ name: '', data }], /no name of a file/],
    ['a folder above', [include('../../../evil')], /outside its folder/],
    ['a folder above, as the last part', [include('..')], /outside its folder/],
    ['an absolute path', [{ name: '/evil', data }], /outside its folder/],
    ['backslashes', [include('..\\..\\evil')], /outside its folder/],
    ['a zero byte', [include('a\0b')], /outside its folder, to "libtorch\/include\/a\\u0000b"/],
    ['a drive', [{ name: 'C:evil', data }], /outside its folder/],
    ['the same name twice', [include('a'), include('a')], /in it twice/],
    [
      'a name that a terminal would obey',
      [include('\x1b[2J'), include('\x1b[2J')],
      /"libtorch\/include\/\\u001b\[2J" is in it twice/,
    ],
    ['a link', [{ ...include('a'), unixMode: 0o120777 }], /is a link/],
    ['a device', [{ ...include('a'), unixMode: 0o020666 }], /neither a file nor a folder/],
    ['a pipe', [{ ...include('a'), unixMode: 0o010666 }], /neither a file nor a folder/],
    ['a size that is a lie', [{ ...include('a'), declaredSize: 400 }], /damaged/],
    ['a size above what deflate can', [{ ...include('a'), declaredSize: 4e9 }], /more than deflate can/],
  ] as const)('%s', async (_, entries, message) => {
    const work = install(entries)
    await expect(work).rejects.toMatchObject({ code: 'DPM_FILE_INVALID', message: expect.stringMatching(message) })
    expect(readdirSync(cache)).toEqual([])
    expect(readdirSync(folder).sort()).toEqual(['cache', 'libtorch-1.zip'])
  })

  test('names that differ only in case are two files, and many folders are no trouble', async () => {
    const many = Array.from({ length: 300 }, (_, index) => include(`ATen/${index % 50}/${index}.h`))
    const { folder: entry } = await install([include('ATen/A.h'), include('ATen/a.h'), ...many])
    expect(readdirSync(join(entry, 'libtorch/include/ATen')).length).toBe(52)
  })

  test('whatever the names are, an archive opens or is refused by us, and gives no path outside', async () => {
    const part = fc.oneof(
      fc.constantFrom('.', '..', '', 'a', 'A', 'b', 'lib', '\0', '\\', 'a'.repeat(256)),
      fc.string(),
    )
    const name = fc.array(part, { maxLength: 5 }).map((parts) => parts.join('/'))
    await fc.assert(
      fc.asyncProperty(fc.array(name, { maxLength: 6 }), async (names) => {
        const path = join(folder, 'any.zip')
        writeFileSync(path, craft(names.map((one) => ({ name: one, data }))))
        const archive = await openZip(path).catch((error: unknown) => {
          expect(error).toMatchObject({ code: 'DPM_FILE_INVALID' })
        })
        if (!archive) return
        await archive.close()
        const paths = archive.entries.map((entry) => entry.path)
        for (const one of paths) expect(join('/root', one).startsWith('/root/')).toBe(true)
        for (const one of paths) expect(paths.some((other) => other.startsWith(`${one}/`))).toBe(false)
      }),
      { numRuns: 150 },
    )
  })
})

test('what is installed cannot be written by others, whatever the umask', async () => {
  const before = process.umask(0)
  try {
    const { folder: entry } = await install([include('ATen/a.h')])
    const names = ['..', '.', ...(readdirSync(entry, { recursive: true }) as string[])]
    expect(names.length).toBeGreaterThan(6)
    for (const name of names) expect([name, statSync(join(entry, name)).mode & 0o022]).toEqual([name, 0])
  } finally {
    process.umask(before)
  }
})

describe('places', () => {
  test('a pipe is not waited for', async () => {
    const pipe = join(folder, 'libtorch-1.zip')
    execFileSync('mkfifo', [pipe])
    await expect(setup(pipe)).rejects.toMatchObject({
      code: 'DPM_FILE_INVALID',
      message: expect.stringMatching(/it is a pipe, not a file/),
    })
  })

  test('an unpacked libtorch with a pipe in it, or a link to nowhere', async () => {
    const root = join(folder, 'mine')
    mkdirSync(join(root, 'lib'), { recursive: true })
    for (const name of ['libc10.so', 'libtorch_cpu.so']) writeFileSync(join(root, 'lib', name), data)
    writeFileSync(join(root, 'build-version'), '2.15.0+cpu')
    execFileSync('mkfifo', [join(root, 'lib', 'libpipe.so')])
    await expect(setup(root)).rejects.toMatchObject({ code: 'DPM_FILE_INVALID' })
    rmSync(join(root, 'lib', 'libpipe.so'))
    symlinkSync('nowhere', join(root, 'lib', 'libgone.so'))
    await expect(setup(root)).rejects.toMatchObject({ code: 'DPM_FILE_MISSING' })
    expect(readdirSync(cache)).toEqual([])
  })

  test.each([
    ['a name of 300 letters', 'a'.repeat(300), 'DPM_FILE_INVALID', /the name is too long \(ENAMETOOLONG\)/],
    ['links in a circle', 'circle', 'DPM_FILE_INVALID', /links lead in a circle \(ELOOP\)/],
    ['below a file', 'file/libtorch.zip', 'DPM_FILE_MISSING', /does not exist/],
    ['nothing', 'gone.zip', 'DPM_FILE_MISSING', /does not exist/],
  ])('%s', async (_, name, code, message) => {
    symlinkSync('circle', join(folder, 'circle'))
    writeFileSync(join(folder, 'file'), '')
    await expect(setup(join(folder, name))).rejects.toMatchObject({ code, message: expect.stringMatching(message) })
  })

  test('a cache whose name is too long blames the cache', async () => {
    cache = join(folder, 'a'.repeat(300))
    const work = install([])
    await expect(work).rejects.toMatchObject({
      code: 'DPM_WRITE_FAILED',
      message: expect.stringMatching(/the name is too long\. Set DPM_TORCH_HOME/),
    })
  })
})
