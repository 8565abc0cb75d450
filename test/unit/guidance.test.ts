import { describe, expect, test } from 'vitest'
import { conditionDropped } from '../../lib/diffusion/guidance/classifier-free.js'
import type { GuidanceCondition } from '../../lib/diffusion/guidance/guidance.js'
import { createGuidance, type GuidanceOptions, parseGuidance } from '../../lib/diffusion/guidance/list.js'
import type { Level } from '../../lib/diffusion/schedule.js'
import { relativeError } from './closeness.js'

describe('classifier-free training', () => {
  test('drops the condition of about the asked share of examples', () => {
    let dropped = 0
    for (let example = 0; example < 10_000; example++) if (conditionDropped(1, 0, example, 0.1)) dropped++
    expect(Math.abs(dropped - 1000)).toBeLessThan(4 * 30)
  })
  test('never drops at 0, always at 1', () => {
    expect(conditionDropped(1, 0, 0, 0)).toBe(false)
    expect(conditionDropped(1, 0, 0, 1)).toBe(true)
  })
})

const level: Level = { alpha: 1, sigma: 2, time: 5 }

function guided(options: number | GuidanceOptions, condition: GuidanceCondition = 'given', at = level) {
  return createGuidance(parseGuidance(options))(at, condition)
}

const given = { network: 0, condition: 'given' } as const
const nothing = { network: 0, condition: 'null' } as const

describe('classifier-free guidance', () => {
  test('evaluates only what counts', () => {
    expect(guided(1).terms).toEqual([[1, given]])
    expect(guided(0).terms).toEqual([[1, nothing]])
    expect(guided(3).terms).toEqual([
      [3, given],
      [-2, nothing],
    ])
    expect(guided(3, 'null').terms).toEqual([[1, nothing]])
  })
  test('is F_null + scale (F_given - F_null)', () => {
    for (const scale of [-1, 0, 0.5, 1, 7.5]) {
      const outputs = { given: 1.25, null: -0.5 }
      const sum = guided(scale).terms.reduce(
        (total, [coefficient, { condition }]) => total + coefficient * outputs[condition],
        0,
      )
      expect(relativeError(sum, -0.5 + scale * 1.75)).toBeLessThan(1e-15)
    }
  })
  test('acts where low < sigma / alpha ≤ high, and saves the second evaluation elsewhere', () => {
    const options = { kind: 'classifier-free', scale: 3, low: 1, high: 2 } as const
    expect(guided(options).terms).toHaveLength(2)
    expect(guided(options, 'given', { ...level, sigma: 2.1 }).terms).toEqual([[1, given]])
    expect(guided(options, 'given', { ...level, sigma: 1 }).terms).toEqual([[1, given]])
  })
  test('rescales only where something was guided', () => {
    const options = { kind: 'classifier-free', scale: 3, high: 2, rescale: 0.7 } as const
    expect(guided(options).rescale).toBe(0.7)
    expect(guided(options, 'given', { ...level, sigma: 3 }).rescale).toBe(0)
  })
  test('refuses a scale that is not finite, and an interval that holds nothing', () => {
    expect(() => guided(Number.NaN)).toThrow('Expected a finite number for `guidance` but received NaN.')
    expect(() => guided({ kind: 'auto', low: 2, high: 1 })).toThrow('above `low` (2) for `guidance.high`')
  })
})

test('autoguidance moves away from the weaker network under the same condition', () => {
  expect(guided({ kind: 'auto', scale: 2 }, 'null').terms).toEqual([
    [2, nothing],
    [-1, { network: 1, condition: 'null' }],
  ])
})
