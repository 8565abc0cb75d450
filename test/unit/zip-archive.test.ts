import { createWriteStream } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { strToU8, zipSync } from 'fflate'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openZip } from '../../lib/files/zip-archive.js'
import { craft } from './crafted-zip.js'

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dpm-zip-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

async function file(name: string, bytes: Uint8Array): Promise<string> {
  const path = join(folder, name)
  await writeFile(path, bytes)
  return path
}

const text = Buffer.from('the quick brown fox '.repeat(50))

describe('reading', () => {
  test('gives back what another writer packed, deflated and stored', async () => {
    const large = new Uint8Array(3_000_000).map((_, index) => (index * 7919) % 251)
    const path = await file(
      'plain.zip',
      zipSync({
        'a/b.txt': strToU8('hello'),
        'a/large.bin': large,
        'stored.bin': [large, { level: 0 }],
        'empty/': new Uint8Array(),
      }),
    )
    const archive = await openZip(path)
    expect(archive.entries.map((entry) => entry.path)).toEqual(['a/b.txt', 'a/large.bin', 'stored.bin'])
    const [hello, deflated, stored] = archive.entries
    if (!hello || !deflated || !stored) throw new Error('three entries')
    expect((await archive.read(hello)).toString()).toBe('hello')
    let observed = 0
    const target = join(folder, 'large.bin')
    await archive.extract(deflated, createWriteStream(target), {
      observe: (chunk) => {
        observed += chunk.length
      },
    })
    expect(Buffer.compare(await readFile(target), large)).toBe(0)
    expect(observed).toBe(large.length)
    expect(Buffer.compare(await archive.read(stored), large)).toBe(0)
    await archive.close()
  })

  test('reads ZIP64 sizes, offsets and directory', async () => {
    const path = await file(
      'wide.zip',
      craft(
        [
          { name: 'first', data: text },
          { name: 'wide', data: text, wide: true },
        ],
        true,
      ),
    )
    const archive = await openZip(path)
    const wide = archive.entries[1]
    if (!wide) throw new Error('two entries')
    expect(wide.sizeBytes).toBe(text.length)
    expect(Buffer.compare(await archive.read(wide), text)).toBe(0)
    await archive.close()
  })
})

describe('refusing', () => {
  const cases: readonly [string, Buffer, RegExp][] = [
    [
      'a path above the folder',
      craft([{ name: 'a/../../evil', data: text }]),
      /outside its folder, to "a\/..\/..\/evil"/,
    ],
    ['an absolute path', craft([{ name: '/etc/passwd', data: text }]), /outside its folder/],
    ['a Windows path', craft([{ name: 'a\\..\\evil', data: text }]), /outside its folder/],
    ['a link', craft([{ name: 'link', data: text, unixMode: 0o120777 }]), /link is a link/],
    ['an encrypted entry', craft([{ name: 'secret', data: text, flags: 1 }]), /encrypted/],
    [
      'a ratio that deflate cannot reach',
      craft([{ name: 'bomb', data: text, declaredSize: 4e9 }]),
      /more than deflate can/,
    ],
    [
      'the same path twice',
      craft([
        { name: 'a', data: text },
        { name: 'a', data: text },
      ]),
      /in it twice/,
    ],
    ['something else', Buffer.from('not a zip at all, only words that are long enough'), /list of files/],
  ]
  test.each(cases)('%s', async (name, bytes, message) => {
    const path = await file(`${name.replaceAll(' ', '-')}.zip`, bytes)
    await expect(openZip(path)).rejects.toThrow(message)
    await expect(openZip(path)).rejects.toMatchObject({ code: 'DPM_FILE_INVALID' })
  })

  test('entries that share bytes', async () => {
    const bytes = craft([
      { name: 'a', data: text },
      { name: 'b', data: text },
    ])
    const second = bytes.lastIndexOf(Buffer.from([0x50, 0x4b, 0x01, 0x02]))
    bytes.writeUInt32LE(0, second + 42)
    await expect(openZip(await file('overlap.zip', bytes))).rejects.toThrow(/overlaps/)
  })

  test('an entry whose own header moves it into the next', async () => {
    const bytes = zipSync({ a: [Buffer.alloc(40, 1), { level: 0 }], b: [Buffer.alloc(40, 2), { level: 0 }] })
    new DataView(bytes.buffer, bytes.byteOffset).setUint16(28, 20, true)
    const archive = await openZip(await file('moved.zip', bytes))
    const [first] = archive.entries
    if (!first) throw new Error('it has no entry')
    await expect(archive.read(first)).rejects.toThrow(/overlaps/)
    await expect(archive.readRange(first, 0, 1)).rejects.toThrow(/overlaps/)
    await archive.close()
  })

  test('a file that was cut short', async () => {
    const bytes = craft([{ name: 'a', data: text }])
    const path = await file('short.zip', bytes.subarray(0, bytes.length - 30))
    await expect(openZip(path)).rejects.toThrow(/cut short/)
  })

  test.each([
    ['another CRC-32', { declaredCrc32: 1 }, /CRC-32 00000001/],
    ['fewer bytes than declared', { declaredSize: text.length + 5 }, /expected 1005 bytes/],
    ['more bytes than declared', { declaredSize: 10 }, /damaged/],
  ])('%s', async (name, lie, message) => {
    const archive = await openZip(
      await file(`${name.replaceAll(' ', '-')}.zip`, craft([{ name: 'a', data: text, ...lie }])),
    )
    const entry = archive.entries[0]
    if (!entry) throw new Error('one entry')
    await expect(archive.read(entry)).rejects.toThrow(message)
    await expect(archive.extract(entry, createWriteStream(join(folder, 'out')))).rejects.toMatchObject({
      code: 'DPM_FILE_INVALID',
    })
    await archive.close()
  })
})
