import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { contend } from '../unit/lock-holders.js'

test.each([false, true])(
  'thousands of acquisitions by processes that are killed now and then: one holder (no links: %s)',
  async (linkless) => {
    const root = await mkdtemp(join(tmpdir(), 'dpm-lock-'))
    try {
      const folder = join(root, 'run')
      await mkdir(folder)
      expect(await contend(folder, { processes: 8, count: 600, kills: 150, linkless })).toEqual({
        faults: [],
        kills: 150,
      })
    } finally {
      await rm(root, { recursive: true })
    }
  },
)
