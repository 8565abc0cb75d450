/** Data sets in archives and large files, and tables in other dialects, for `mutated-formats.ts`. */
import { createReadStream } from 'node:fs'
import { rename } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { lookAt, readPieces } from '../../lib/datasets/byte-pieces.js'
import { dataSchema, openDataSet } from '../../lib/datasets/list.js'
import { readTar } from '../../lib/datasets/tar.js'
import { parseOptions } from '../../lib/options/options.js'
import type { MutatedFormat } from './mutated-formats.js'

function tarMember(name: string, data: Buffer): Buffer {
  const header = Buffer.alloc(512)
  header.write(name, 0)
  header.write('0000644\0', 100)
  header.write(`${data.length.toString(8).padStart(11, '0')}\0`, 124)
  header.write('0', 156)
  header.write('ustar\x0000', 257)
  header.fill(' ', 148, 156)
  const sum = header.reduce((total, byte) => total + byte, 0)
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
  return Buffer.concat([header, data, Buffer.alloc(-data.length & 511)])
}

const tar = Buffer.concat([
  tarMember('wanted', Buffer.alloc(700, 'data')),
  tarMember('other', Buffer.alloc(600, 1)),
  Buffer.alloc(1024),
])

async function readAll(source: AsyncIterable<Uint8Array>): Promise<number> {
  let largest = 0
  for await (const { data } of readTar(source, 'x.tar', (name) => name === 'wanted', 100_000)) {
    largest = Math.max(largest, data.length)
  }
  return largest
}

const readTable =
  (options: Readonly<Record<string, unknown>>) =>
  async (file: string): Promise<number> => {
    const dataSet = await openDataSet(parseOptions(dataSchema, { kind: 'table', file, ...options }, 'test'))
    return dataSet.length * dataSet.channels
  }

/** One label and 3072 bytes of a picture, ten thousand times. */
const cifarRecords = 10_000
const cifarRecordBytes = 3073

export const mutatedData: readonly MutatedFormat[] = [
  { name: 'tar', make: async () => tar, read: async (path) => readAll(createReadStream(path)) },
  {
    name: 'tar, gzipped',
    make: async () => gzipSync(tar),
    async read(path) {
      await readAll(readPieces(await lookAt(path), 'Fetch it again.'))
      // What is packed may be larger than its pack.
      return 0
    },
  },
  {
    name: 'CIFAR-10',
    make: async () => Buffer.alloc(cifarRecords * cifarRecordBytes, 3),
    async read(path) {
      await rename(path, join(dirname(path), 'test_batch.bin'))
      const settings = { kind: 'cifar10', path: dirname(path), split: 'test' }
      const dataSet = await openDataSet(parseOptions(dataSchema, settings, 'test'))
      return dataSet.length * dataSet.channels * dataSet.height * dataSet.width
    },
    cost: 250,
  },
  {
    name: 'csv, UTF-16',
    make: async () => Buffer.from('\ufeffx\ty\r\n1,5\t2\r\n-3e2\t"4"\r\n5\t6\r\n', 'utf16le'),
    read: readTable({}),
    ending: '.txt',
    cost: 4,
  },
  {
    name: 'csv, without names',
    make: async () => Buffer.from('# made by hand\r0;1,5\r"2";-3\r\r.5;7e-3;\r', 'latin1'),
    read: readTable({ header: 'no', separator: 'semicolon', decimal: 'comma' }),
    ending: '.csv',
    cost: 4,
  },
]
