import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { makeFolder } from '../../lib/files/make-folder.js'

const folder = mkdtempSync(join(tmpdir(), 'make-folder-'))
afterAll(() => rmSync(folder, { recursive: true }))

test('makes a folder and those above it, once or at the same time', async () => {
  const deep = join(folder, 'a', 'b', 'c')
  await Promise.all([makeFolder(deep), makeFolder(deep), makeFolder(join(folder, 'a', 'd'))])
  await makeFolder(deep)
  expect(existsSync(deep)).toBe(true)
})

test.skipIf(!existsSync('/proc/self'))('is refused where nothing can be made, instead of trying for ever', async () => {
  await expect(makeFolder('/proc/x/y')).rejects.toMatchObject({
    code: 'DPM_WRITE_FAILED',
    message: expect.stringMatching(/Could not write "\/proc\/x\/y"/),
  })
})

test('names a file that is in the way', async () => {
  writeFileSync(join(folder, 'file'), '')
  for (const path of [join(folder, 'file'), join(folder, 'file', 'below')]) {
    await expect(makeFolder(path)).rejects.toMatchObject({
      code: 'DPM_WRITE_FAILED',
      message: expect.stringMatching(/a part of the path is a file, not a folder/),
    })
  }
})
