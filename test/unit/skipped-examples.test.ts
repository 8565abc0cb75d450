import { appendFile, mkdir, mkdtemp, readFile, rm, rmdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { CorruptExample } from '../../lib/datasets/data-set.js'
import { describeSkipped } from '../../lib/training/progress.js'
import { SkippedExamples } from '../../lib/training/skipped-examples.js'

let path: string
beforeEach(async () => {
  path = join(await mkdtemp(join(tmpdir(), 'dpm-skipped-')), 'skipped.jsonl')
})
afterEach(async () => {
  await rm(join(path, '..'), { recursive: true })
})

const example = (index: number): CorruptExample => ({ index, place: `/data/${index}.jpg`, reason: 'premature end' })
const places = async (): Promise<string[]> =>
  (await readFile(path, 'utf8'))
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line).place)

test('each is written once, in the order in which it was met, also when the run goes on', async () => {
  const first = await SkippedExamples.open(path)
  await first.note([])
  await expect(readFile(path)).rejects.toThrow('ENOENT')
  await first.note([example(7)])
  // The data set lists them by index.
  await first.note([example(3), example(7)])
  await appendFile(path, '{"place":"/data/')
  const second = await SkippedExamples.open(path)
  expect(second.all).toEqual([example(7), example(3)])
  await second.note([example(3)])
  await second.note([example(1), example(3)])
  expect((await SkippedExamples.open(path)).all).toEqual([example(7), example(3), example(1)])
  expect((await readFile(path, 'utf8')).split('\n').filter((line) => line.endsWith('}'))).toHaveLength(3)
})

test('what could not be written is written with the next', async () => {
  const skipped = await SkippedExamples.open(path)
  await mkdir(path)
  await expect(skipped.note([example(1)])).rejects.toMatchObject({ code: 'DPM_WRITE_FAILED' })
  await rmdir(path)
  await skipped.note([example(1)])
  expect((await places()).filter(Boolean)).toEqual(['/data/1.jpg'])
})

test('without a file they are known all the same', async () => {
  const skipped = await SkippedExamples.open(undefined)
  await skipped.note([example(1)])
  expect(skipped.count).toBe(1)
})

test('are told in a sentence', () => {
  expect(describeSkipped([])).toBe('')
  expect(describeSkipped([example(1)])).toBe(
    '1 example could not be decoded and was skipped: /data/1.jpg; because: premature end',
  )
  expect(describeSkipped([1, 2, 3, 4, 5].map(example))).toBe(
    '5 examples could not be decoded and were skipped: /data/1.jpg, /data/2.jpg, /data/3.jpg and 2 more; the first because: premature end',
  )
})
