import { execFileSync } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { SafetensorsFile, type TensorSource, writeSafetensors } from '../../lib/checkpoints/safetensors.js'
import { DpmError } from '../../lib/errors.js'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dpm-safetensors-'))
})
afterAll(() => rm(folder, { recursive: true }))

function tensor(name: string, dtype: TensorSource['dtype'], shape: number[], bytes: Uint8Array): TensorSource {
  return { name, dtype, shape, read: async () => bytes }
}

function bytesOf(view: ArrayBufferView): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength)
}

/** A file from a literal header, so that a test can break any rule. */
function fileOf(header: string, data = new Uint8Array(0), claimedLength = Buffer.byteLength(header)): Buffer {
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(claimedLength))
  return Buffer.concat([length, Buffer.from(header), data])
}

async function openBytes(bytes: Uint8Array): Promise<SafetensorsFile> {
  const path = join(folder, 'bytes.safetensors')
  await writeFile(path, bytes)
  return SafetensorsFile.open(path)
}

describe('writing', () => {
  test('the bytes are those of the format: length, padded header, widest elements first', async () => {
    const path = join(folder, 'exact.safetensors')
    const sources = [
      tensor('b', 'U8', [3], Uint8Array.of(7, 8, 9)),
      tensor('a', 'F32', [1], bytesOf(Float32Array.of(1))),
    ]
    await writeSafetensors(path, sources, { note: 'x' })
    const header =
      '{"__metadata__":{"note":"x"},' +
      '"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[3],"data_offsets":[4,7]}}'
    const padded = header.padEnd(Math.ceil(header.length / 8) * 8, ' ')
    expect(await readFile(path)).toEqual(fileOf(padded, Uint8Array.of(0, 0, 0x80, 0x3f, 7, 8, 9)))
  })

  test('what goes in comes out, bit for bit, for any names, shapes and bytes', async () => {
    const path = join(folder, 'any.safetensors')
    const name = fc
      .string({ minLength: 1, maxLength: 20, unit: 'grapheme' })
      .filter((text) => !/[\p{Cc}\p{Cs}]|\.\./u.test(text))
    const source = fc
      .record({ name, shape: fc.array(fc.nat(4), { maxLength: 3 }), seed: fc.nat(255) })
      .map(({ name, shape, seed }) => {
        const size = shape.reduce((product, length) => product * length, 2)
        return tensor(
          name,
          'BF16',
          shape,
          Uint8Array.from({ length: size }, (_, i) => (i * 37 + seed) % 256),
        )
      })
    const sourceLists = fc.uniqueArray(source, { maxLength: 5, selector: (one) => one.name })
    await fc.assert(
      fc.asyncProperty(sourceLists, fc.dictionary(fc.string(), fc.string()), async (sources, metadata) => {
        await writeSafetensors(path, sources, metadata)
        await using file = await SafetensorsFile.open(path)
        expect(Object.fromEntries(file.metadata)).toEqual(Object.fromEntries(Object.entries(metadata)))
        expect(file.tensors.size).toBe(sources.length)
        for (const one of sources) {
          expect(file.tensors.get(one.name)?.shape).toEqual(one.shape)
          expect(await file.readTensor(one.name)).toEqual(await one.read())
        }
      }),
      { numRuns: 60 },
    )
  })

  test('a tensor may have the name of a property of every object', async () => {
    const path = join(folder, 'names.safetensors')
    await writeSafetensors(path, [tensor('__proto__', 'U8', [1], Uint8Array.of(5))], { constructor: 'me' })
    await using file = await SafetensorsFile.open(path)
    expect(await file.readTensor('__proto__')).toEqual(Uint8Array.of(5))
    expect(file.metadata.get('constructor')).toBe('me')
    expect(file.metadata.get('toString')).toBeUndefined()
  })

  test.each([
    [
      'too few bytes',
      [tensor('a', 'F32', [2], new Uint8Array(7))],
      /Expected 8 bytes \(F32 of shape \[2\]\) for `a`.*7 bytes/,
    ],
    ['a name twice', [1, 2].map(() => tensor('a', 'U8', [0], new Uint8Array(0))), /"a" occurs twice/],
    ['a name that climbs', [tensor('../a', 'U8', [0], new Uint8Array(0))], /"\.\.\/a" contains "\.\."/],
    ['a negative size', [tensor('a', 'U8', [-1], new Uint8Array(0))], /shape of a/],
  ])('refuses %s and leaves what was there', async (_, sources, message) => {
    const path = join(folder, 'refused.safetensors')
    await writeFile(path, 'the good one')
    const failure = await writeSafetensors(path, sources).catch((error: unknown) => error)
    expect(failure).toMatchObject({ code: 'DPM_INVALID_ARGUMENT', message: expect.stringMatching(message) })
    expect(await readFile(path, 'utf8')).toBe('the good one')
    expect((await readdir(folder)).filter((name) => name.endsWith('.part'))).toEqual([])
  })
})

describe('reading', () => {
  const entry = (dtype: string, shape: string, offsets: string): string =>
    `{"dtype":"${dtype}","shape":${shape},"data_offsets":${offsets}}`

  test.each([
    ['an empty file', Buffer.alloc(0), /has 0 bytes/],
    [
      'a header longer than the format allows',
      fileOf('{}', undefined, 100_000_001),
      /claims 100000001 bytes.*allows 100000000/,
    ],
    ['a header length of 2^64 - 1', Buffer.alloc(8, 0xff), /claims 18446744073709551615 bytes/],
    ['a header longer than the file', fileOf('{}', undefined, 3), /claims 3 bytes, but the file ends after 10/],
    ['bytes that are not UTF-8', Buffer.concat([fileOf('{', undefined, 2), Buffer.of(0xff)]), /not UTF-8/],
    ['a list', fileOf('[]'), /does not begin with "\{"/],
    ['JSON without an end', fileOf('{"a":'), /tensor "a"/],
    ['text after the header', fileOf('{}x'), /goes on after its end at 2/],
    ['an unknown dtype', fileOf(`{"a":${entry('F31', '[]', '[0,0]')}}`), /tensor "a" has dtype "F31".*F64, F32/],
    ['a missing field', fileOf('{"a":{"dtype":"U8","shape":[0]}}'), /tensor "a" lacks one of/],
    ['an unknown field', fileOf('{"a":{"type":"U8"}}'), /tensor "a" has an unknown field "type"/],
    [
      'a shape that does not match',
      fileOf(`{"a":${entry('F32', '[2,2]', '[0,12]')}}`, Buffer.alloc(12)),
      /12 bytes.*\[2, 2\] takes 16/,
    ],
    ['a shape beyond counting', fileOf(`{"a":${entry('F32', '[9007199254740991,9]', '[0,0]')}}`), /more than 2\^53/],
    ['a negative offset', fileOf(`{"a":${entry('U8', '[1]', '[-1,0]')}}`), /whole number/],
    ['a fraction', fileOf(`{"a":${entry('U8', '[1.5]', '[0,1]')}}`), /whole number/],
    [
      'a range that ends before it begins',
      fileOf(`{"a":${entry('U8', '[1]', '[1,0]')}}`),
      /ends at byte 0, before it begins at 1/,
    ],
    [
      'a range beyond the file',
      fileOf(`{"a":${entry('U8', '[4]', '[0,4]')}}`, Buffer.alloc(3)),
      /bytes 0 to 4, but the file holds only 3/,
    ],
    [
      'bytes left over',
      fileOf(`{"a":${entry('U8', '[4]', '[0,4]')}}`, Buffer.alloc(5)),
      /take 4 bytes, but it holds 5/,
    ],
    [
      'a gap',
      fileOf(`{"a":${entry('U8', '[1]', '[0,1]')},"b":${entry('U8', '[1]', '[2,3]')}}`, Buffer.alloc(3)),
      /"b" lies at bytes 2 to 3, leaving a gap after byte 1/,
    ],
    [
      'an overlap',
      fileOf(`{"a":${entry('U8', '[2]', '[0,2]')},"b":${entry('U8', '[2]', '[1,3]')}}`, Buffer.alloc(3)),
      /"b" lies at bytes 1 to 3 and overlaps.*ends at 2/,
    ],
    [
      'a name twice',
      fileOf(`{"a":${entry('U8', '[0]', '[0,0]')},"\\u0061":${entry('U8', '[0]', '[0,0]')}}`),
      /"a" occurs twice in the header/,
    ],
    ['a name that climbs', fileOf(`{"a/../b":${entry('U8', '[0]', '[0,0]')}}`), /contains "\.\."/],
    ['metadata that are not strings', fileOf('{"__metadata__":{"a":1}}'), /metadata "a" is not a string/],
    ['a string without an end', fileOf('{"a\\"'), /string without an end/],
  ])('refuses %s', async (_, bytes, message) => {
    const failure = await openBytes(bytes).catch((error: unknown) => error)
    expect(failure).toBeInstanceOf(DpmError)
    expect(failure).toMatchObject({ code: 'DPM_FILE_INVALID', message: expect.stringMatching(message) })
    expect((failure as DpmError).message).toContain('bytes.safetensors')
  })

  test('a missing file, a missing tensor and a file cut after opening each say so', async () => {
    const path = join(folder, 'cut.safetensors')
    await expect(SafetensorsFile.open(join(folder, 'none'))).rejects.toMatchObject({ code: 'DPM_FILE_MISSING' })
    await expect(SafetensorsFile.open(folder)).rejects.toMatchObject({ code: 'DPM_FILE_INVALID' })
    await writeSafetensors(path, [tensor('a', 'U8', [4], new Uint8Array(4))])
    await using file = await SafetensorsFile.open(path)
    await expect(file.readTensor('b')).rejects.toMatchObject({
      code: 'DPM_FILE_MISSING',
      message: expect.stringMatching(/no tensor "b".*"a"/),
    })
    await truncate(path, (await readFile(path)).length - 1)
    await expect(file.readTensor('a')).rejects.toMatchObject({ code: 'DPM_FILE_INVALID' })
  })

  test('2,000 mutations of a valid file are each read whole or refused with a DpmError', async () => {
    const path = join(folder, 'valid.safetensors')
    const sources = [tensor('a.weight', 'F32', [2, 3], new Uint8Array(24)), tensor('b', 'U8', [5], new Uint8Array(5))]
    await writeSafetensors(path, sources, { note: 'é "x"' })
    const valid = await readFile(path)
    const mutation = fc.record({
      kind: fc.constantFrom('set', 'insert', 'delete', 'truncate', 'copy'),
      at: fc.nat(valid.length - 1),
      to: fc.nat(valid.length - 1),
      value: fc.oneof(fc.nat(255), fc.constantFrom(...Buffer.from('{}[]",:\\09-.eE'))),
    })
    let read = 0
    let refused = 0
    await fc.assert(
      fc.asyncProperty(fc.array(mutation, { minLength: 1, maxLength: 4 }), async (mutations) => {
        const bytes = mutations.reduce((result, { kind, at, to, value }) => {
          const [head, tail] = [result.subarray(0, at), result.subarray(at)]
          if (kind === 'set') return Buffer.concat([head, Buffer.of(value), tail.subarray(1)])
          if (kind === 'insert') return Buffer.concat([head, Buffer.of(value), tail])
          if (kind === 'delete') return Buffer.concat([head, tail.subarray(1)])
          if (kind === 'truncate') return head
          return Buffer.concat([head, result.subarray(to, to + 16), tail])
        }, valid)
        try {
          await using file = await openBytes(bytes)
          for (const [name, { begin, end }] of file.tensors) {
            expect((await file.readTensor(name)).length).toBe(end - begin)
          }
          read++
        } catch (error) {
          expect(error).toBeInstanceOf(DpmError)
          refused++
        }
      }),
      { numRuns: 2000, seed: 7 },
    )
    expect(read).toBeGreaterThan(10)
    expect(refused).toBeGreaterThan(500)
  }, 60_000)
})

describe('beside the Python library', () => {
  const fixture = fileURLToPath(new URL('../fixtures/safetensors/python.safetensors', import.meta.url))

  test('a file that it wrote is read', async () => {
    await using file = await SafetensorsFile.open(fixture)
    expect(Object.fromEntries(file.metadata)).toEqual({ format: 'pt', note: 'café "quoted" \\ \n' })
    const read = async (name: string): Promise<ArrayBuffer> => (await file.readTensor(name)).buffer
    expect([...new Float32Array(await read('network.input.weight'))]).toEqual([0, 1, 2, 3, 4, 5])
    expect([...new Float64Array(await read('network.input.bias'))]).toEqual([0, 1, 2])
    expect([...new Uint16Array(await read('half'))]).toEqual([0, 0x3c00, 0x4000, 0x4200])
    expect([...new Uint16Array(await read('brain'))]).toEqual([0, 0x3f80, 0x4000, 0x4040])
    expect([...new BigInt64Array(await read('indices'))]).toEqual([0n, 1n, 2n, 3n])
    expect([...new Uint8Array(await read('bytes'))]).toEqual([0, 1, 2, 3, 4])
    expect([...new Float32Array(await read('scalar'))]).toEqual([0])
    expect((await read('empty')).byteLength).toBe(0)
    expect(file.tensors.get('empty')?.shape).toEqual([0, 3])
    expect(file.tensors.get('brain')?.dtype).toBe('BF16')
  })

  const python = process.env.DPM_TORCH_PYTHON
  test.skipIf(!python)(
    'it reads a file of ours (skipped unless DPM_TORCH_PYTHON names a Python with safetensors)',
    async () => {
      const path = join(folder, 'ours.safetensors')
      const sources = [
        tensor('network.weight', 'F32', [2, 2], bytesOf(Float32Array.of(1.5, -2, 3, 4))),
        tensor('indices', 'I64', [2], bytesOf(BigInt64Array.of(5n, -6n))),
        tensor('brain', 'BF16', [1], bytesOf(Uint16Array.of(0x3fc0))),
        tensor('empty', 'F32', [0, 3], new Uint8Array(0)),
      ]
      await writeSafetensors(path, sources, { format: 'dpm-torch', note: 'é "x"' })
      const script = [
        'import json, sys, safetensors',
        'data = open(sys.argv[1], "rb").read()',
        'tensors = {name: [t["dtype"], t["shape"], bytes(t["data"]).hex()] for name, t in safetensors.deserialize(data)}',
        'with safetensors.safe_open(sys.argv[1], "np") as f: print(json.dumps([tensors, f.metadata()]))',
      ].join('\n')
      const [tensors, metadata] = JSON.parse(execFileSync(python ?? '', ['-c', script, path], { encoding: 'utf8' }))
      expect(metadata).toEqual({ format: 'dpm-torch', note: 'é "x"' })
      expect(tensors).toEqual({
        'network.weight': ['F32', [2, 2], '0000c03f000000c00000404000008040'],
        indices: ['I64', [2], '0500000000000000faffffffffffffff'],
        brain: ['BF16', [1], 'c03f'],
        empty: ['F32', [0, 3], ''],
      })
    },
  )
})
