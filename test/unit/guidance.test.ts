import { describe, expect, test } from 'vitest'
import { classifierFree, conditionDropped } from '../../lib/diffusion/guidance/classifier-free.js'
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

describe('classifier-free guidance', () => {
  test('evaluates only what counts', () => {
    expect(classifierFree(1)).toEqual([[1, 'given']])
    expect(classifierFree(0)).toEqual([[1, 'null']])
    expect(classifierFree(3)).toEqual([
      [3, 'given'],
      [-2, 'null'],
    ])
  })
  test('is F_null + scale (F_given - F_null)', () => {
    for (const scale of [-1, 0, 0.5, 1, 7.5]) {
      const outputs = { given: 1.25, null: -0.5 }
      const sum = classifierFree(scale).reduce(
        (total, [coefficient, condition]) => total + coefficient * outputs[condition],
        0,
      )
      expect(relativeError(sum, -0.5 + scale * 1.75)).toBeLessThan(1e-15)
    }
  })
  test('refuses a scale that is not finite', () => {
    expect(() => classifierFree(Number.NaN)).toThrow('Expected a finite number for `guidance` but received NaN.')
  })
})
