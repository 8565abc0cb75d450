import { describe, expect, test } from 'vitest'
import { parseOptions } from '../../lib/options/options.js'
import { samplingSchema, withDefaults } from '../../lib/sampling/sampling-defaults.js'

const sampling = parseOptions(
  samplingSchema,
  { sampler: { kind: 'ddim', eta: 0.5 }, steps: 20, spacing: 'leading' },
  'test',
)
const own = { sampler: { kind: 'ddim', eta: 0.5 }, steps: 20, spacing: { kind: 'leading' }, finalLevel: 'clean' }

describe('what a call does not say is what the model names', () => {
  test.each([
    ['nothing', {}, own],
    ['the same sampler', { sampler: { kind: 'ddim', eta: 1 } }, { ...own, sampler: { kind: 'ddim', eta: 1 } }],
    ['steps', { steps: 7 }, { ...own, steps: 7 }],
    ['a spacing', { spacing: 'trailing' }, { ...own, spacing: 'trailing' }],
    [
      'a spacing that names its levels',
      { spacing: { kind: 'times', times: [9, 3] } },
      { ...own, steps: undefined, spacing: { kind: 'times', times: [9, 3] } },
    ],
    [
      'another sampler, which takes neither steps nor spacing nor final level',
      { sampler: 'ddpm' },
      { sampler: 'ddpm' },
    ],
  ] as const)('beside %s', (_, asked, made) => {
    expect(withDefaults(asked as never, sampling)).toMatchObject(made)
    expect(Object.keys(withDefaults(asked as never, sampling)).sort()).toEqual(Object.keys(made).sort())
  })

  test('and without such a model what it says itself', () => {
    const none = parseOptions(samplingSchema, {}, 'test')
    expect(withDefaults({ steps: 3 }, none)).toEqual({
      steps: 3,
      sampler: undefined,
      spacing: undefined,
      finalLevel: 'clean',
    })
    expect(withDefaults({ steps: 3 }, undefined)).toEqual({ steps: 3 })
  })
})
