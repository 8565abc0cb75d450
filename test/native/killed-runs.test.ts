import { afterAll, beforeAll, expect, test } from 'vitest'
import { makeFolder } from './command.js'
import { killedRun, prepareKilledRuns } from './killed-runs.js'

const folder = makeFolder()
beforeAll(() => prepareKilledRuns(folder.path))
afterAll(() => folder.remove())

// Many more: test/slow/killed-runs.test.ts.
test('killed at random instants, with snapshots and pictures, a run ends in the same bytes and leaves nothing behind', async () => {
  expect(await killedRun(folder.path, 'killed', 2, Math.random)).toEqual([])
})
