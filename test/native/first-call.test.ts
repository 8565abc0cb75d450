/** The first native call: what it opens, and what it does not ask. */
import { expect, test, vi } from 'vitest'
import { loadBinding } from '../../lib/native/load.js'

test('opening writes no report of the process, which takes 5 ms and tells nothing where all goes well', () => {
  const report = vi.spyOn(process.report, 'getReport')
  loadBinding()
  expect(report).not.toHaveBeenCalled()
})
