import { expect, test } from 'vitest'
import { DpmError } from '../../lib/errors.js'
import type { RunSettings } from '../../lib/training/run-options.js'
import { cureOf, describeStopped, toldOf } from '../../lib/training/stopped-run.js'

const settings = (batch: number, microBatch: number | null): RunSettings =>
  ({ training: { batch, microBatch, learningRate: { peak: 1e-3 } } }) as RunSettings

test.each([
  [new DpmError('DPM_OUT_OF_MEMORY', ''), settings(64, null), { 'training.microBatch': 32 }],
  [new DpmError('DPM_OUT_OF_MEMORY', ''), settings(64, 5), { 'training.microBatch': 3 }],
  [new DpmError('DPM_OUT_OF_MEMORY', ''), settings(1, null), {}],
  [new DpmError('DPM_NON_FINITE', ''), settings(64, null), { 'training.learningRate.peak': 5e-4 }],
  [
    new DpmError('DPM_DATA_INVALID', '', { details: { cure: { 'data.corrupt': 'skip' } } }),
    settings(1, null),
    { 'data.corrupt': 'skip' },
  ],
  [new DpmError('DPM_WRITE_FAILED', ''), settings(64, null), {}],
  [new Error('of a caller'), settings(64, null), {}],
])('the cure of %s', (error, run, cure) => expect(cureOf(error, run)).toEqual(cure))

const first = new DpmError('DPM_DATA_INVALID', 'A picture is torn.', { cause: 'why', details: { path: 'x' } })
const stopped = { step: 12, checkpoint: '/r/step-12', failure: undefined, cure: { 'data.corrupt': 'skip' } }

test('the error says where what was trained is, and stays what it was', () => {
  const told = toldOf(first, stopped)
  expect(told).toMatchObject({ code: 'DPM_DATA_INVALID', cause: 'why', details: { path: 'x', stopped } })
  expect((told as Error).message).toBe(
    'A picture is torn. What was trained, 12 steps, is in /r/step-12: go on with --resume (`resume: true`) and data.corrupt=skip.',
  )
  const own = new TypeError('mine')
  expect(toldOf(own, stopped)).toBe(own)
})

test('a checkpoint that cannot be written either is told behind the first error; the same error is told once', () => {
  const failure = new DpmError('DPM_WRITE_FAILED', 'Could not write "/r/x": the disk is full.')
  const both = { ...stopped, failure, cure: {} }
  expect((toldOf(first, both) as Error).message).toBe(
    'A picture is torn. No checkpoint of step 12 could be written: Could not write "/r/x": the disk is full. The last checkpoint is /r/step-12: go on with --resume (`resume: true`).',
  )
  expect((toldOf(failure, both) as Error).message).toBe(
    'Could not write "/r/x": the disk is full. No checkpoint of step 12 could be written. The last checkpoint is /r/step-12: go on with --resume (`resume: true`).',
  )
  expect(describeStopped({ ...both, checkpoint: undefined })).toMatch(/There is no checkpoint to go on from\.$/)
})
