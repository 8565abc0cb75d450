import { afterAll, beforeAll, expect, test } from 'vitest'
import { makeFolder } from '../native/command.js'
import { killedRun, prepareKilledRuns } from '../native/killed-runs.js'

const folder = makeFolder()
beforeAll(() => prepareKilledRuns(folder.path))
afterAll(() => folder.remove())

test.each(Array.from({ length: 40 }, (_, round) => round))(
  'run %d, killed again and again at random instants',
  async (round) => {
    expect(await killedRun(folder.path, `killed-${round}`, 6, Math.random)).toEqual([])
  },
)
