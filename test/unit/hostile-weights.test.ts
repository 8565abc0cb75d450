/** Small files of weights that would fill memory: what a pickle copies, names and shows is charged to its length. */
import { execFileSync } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openArchive } from '../../lib/checkpoints/archives/open-archive.js'
import { readPickle } from '../../lib/checkpoints/pickle/pickle-machine.js'
import { torchGlobal, torchStorage } from '../../lib/checkpoints/pickle/torch-globals.js'
import { DpmError } from '../../lib/errors.js'
import { SavedTensor, torchZip } from './torch-writer.js'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dpm-hostile-'))
})
afterAll(() => rm(folder, { recursive: true }))

const content = { weight: new SavedTensor(Float32Array.of(1, 2, 3, 4, 5, 6), [2, 3]) }

const pickle = (...parts: (string | Buffer)[]): Buffer =>
  Buffer.concat([
    Buffer.from([0x80, 2]),
    ...parts.map((part) => (typeof part === 'string' ? Buffer.from(part, 'latin1') : part)),
  ])
const size32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}
const text = (length: number): Buffer => Buffer.concat([Buffer.from('X'), size32(length), Buffer.alloc(length, 0x61)])
const numbers = (count: number): Buffer =>
  Buffer.concat(
    Array.from({ length: count }, (_, index) => Buffer.concat([Buffer.from('J'), size32(index), Buffer.from('N')])),
  )
/** Name 0, value 1, then so many times the call of the name with the value so many times, the results in a list. */
const calls = (global: string, value: Buffer | string, times: number, args: string): Buffer =>
  pickle(`c${global}\nq\x00`, value, 'q\x01', '](', `h\x00(${args}tR`.repeat(times), 'e.')

async function faultOf(bytes: Uint8Array): Promise<string> {
  const path = join(folder, 'hostile.pt')
  await writeFile(path, bytes)
  try {
    await using archive = await openArchive(path)
    for (const tensor of archive.tensors.values()) await tensor.read()
  } catch (error) {
    if (error instanceof DpmError && error.code === 'DPM_FILE_INVALID') return error.message
    throw error
  }
  return 'none'
}

const withPickle = (bytes: Buffer): Buffer => torchZip(content, { 'data.pkl': bytes })
const dictionary = (count: number): Buffer => Buffer.concat([Buffer.from('}('), numbers(count), Buffer.from('u')])

describe('what is copied over and over ends in an error, soon and without the memory', () => {
  test.each<[string, Buffer]>([
    ['dictionaries of one dictionary', calls('collections\nOrderedDict', dictionary(20_000), 300, 'h\x01')],
    ['counters of one dictionary', calls('collections\nCounter', dictionary(20_000), 300, 'h\x01')],
    ['paths of one text', calls('pathlib\nPosixPath', text(100_000), 50, 'h\x01'.repeat(50))],
    ['paths of more than the longest string', calls('pathlib\nPosixPath', text(1_000_000), 1, 'h\x01'.repeat(600))],
    ['devices of one text', calls('torch\ndevice', text(100_000), 2_000, 'h\x01')],
    ['bytes of one text', calls('_codecs\nencode', text(500_000), 200, 'h\x01U\x06latin1')],
    [
      'attributes of one dictionary',
      pickle('cargparse\nNamespace\nq\x00', dictionary(20_000), 'q\x01](', 'h\x00)Rh\x01b'.repeat(300), 'e.'),
    ],
    [
      'arrays of many axes',
      pickle(
        'cnumpy.core.multiarray\n_reconstruct\nq\x00cnumpy\nndarray\nq\x01',
        'cnumpy\ndtype\nU\x02f4\x85R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tbq\x02',
        `(${'K\x01'.repeat(64)}tq\x03](`,
        'h\x00h\x01\x85R(K\x01h\x03h\x02\x89c__builtin__\nbytes\n)Rtb'.repeat(40_000),
        'e.',
      ),
    ],
  ])('%s', async (_, bytes) => {
    const before = process.memoryUsage.rss()
    const start = performance.now()
    expect(await faultOf(withPickle(bytes))).toMatch(/bytes are copied to more than \d+, over and over/)
    expect(performance.now() - start).toBeLessThan(3000)
    expect(process.memoryUsage.rss() - before).toBeLessThan(600e6)
  })

  test('a dictionary of Python 2, made of a list of pairs, is well within what may be copied', () => {
    const pairs = Array.from({ length: 20_000 }, (_, index) => `]q\x00(U\x05${String(index).padStart(5, '0')}Ke`)
    const bytes = pickle(
      'ccollections\nOrderedDict\n](',
      ...pairs.map((pair) => `${pair.slice(0, -1)}\x01e`),
      'e\x85R.',
    )
    const { value } = readPickle(bytes, 0, { global: torchGlobal, persistent: torchStorage }, 'python2.pt')
    expect(value).toMatchObject({ size: 20_000 })
  })
})

describe('what is shown over and over', () => {
  /** A list of lists …, each holding the one below so many times. */
  const tree = (leaf: string, times: number, depth: number): Buffer =>
    pickle(
      `(${leaf}q\x00`,
      ...Array.from(
        { length: depth },
        (_, index) => `](${`h${String.fromCharCode(index)}`.repeat(times)}eq${String.fromCharCode(index + 1)}`,
      ),
      't.',
    )

  test('a number in many places has a bounded length of names', async () => {
    expect(await faultOf(withPickle(tree('K\x01', 30, 4)))).toMatch(/gives names of more than \d+/)
  })

  test('tensors of the same elements, each no larger than the file, are bounded together', async () => {
    const big = new SavedTensor(new Float32Array(1_000_000), [1_000_000])
    const names = Array.from({ length: 400 }, (_, index) => `U\x03${String(index).padStart(3, '0')}h\x00`)
    const shared = torchZip(
      { weight: big },
      {
        'data.pkl': pickle(
          '}(U\x03all',
          'ctorch._utils\n_rebuild_tensor_v2\n((U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuJ\x40\x42\x0f\x00tQK\x00',
          '(J\x40\x42\x0f\x00t(K\x01t\x89Nt',
          'Rq\x00',
          ...names,
          'u.',
        ),
      },
    )
    expect(await faultOf(shared)).toMatch(/show the same elements over and over/)
  })

  test('an axis that nothing backs is no number of classes', async () => {
    const empty = withPickle(
      pickle(
        'ctorch._utils\n_rebuild_tensor_v2\n((U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuK\x06tQK\x00',
        '(\x8a\x06\x00\x00\x00\x00\x00\x10K\x00t(K\x01K\x01t\x89NtR.',
      ),
    )
    expect(await faultOf(empty)).toMatch(/an axis of more than/)
  })
})

describe('what is no file of weights at all is refused at once', () => {
  test('a folder, a pipe, a device', async () => {
    await expect(openArchive(folder)).rejects.toMatchObject({ code: 'DPM_FILE_INVALID', message: /it is a folder/ })
    if (process.platform === 'win32') return
    const pipe = join(folder, 'pipe.pt')
    execFileSync('mkfifo', [pipe])
    await expect(openArchive(pipe)).rejects.toMatchObject({ code: 'DPM_FILE_INVALID', message: /it is a pipe/ })
    await expect(openArchive('/dev/zero')).rejects.toMatchObject({
      code: 'DPM_FILE_INVALID',
      message: /it is a device/,
    })
  })
})
