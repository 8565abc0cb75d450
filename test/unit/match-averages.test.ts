import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { AveragingSettings } from '../../lib/training/averaging.js'
import { matchAverages } from '../../lib/training/match-averages.js'

const averagings: fc.Arbitrary<AveragingSettings> = fc.oneof(
  fc.record({ kind: fc.constant('constant' as const), decay: fc.constantFrom(0, 0.9, 1) }),
  fc.record({ kind: fc.constant('warmup' as const), decay: fc.constantFrom(0.9, 1) }),
  fc.record({ kind: fc.constant('power' as const), deviation: fc.constantFrom(0.05, 0.1) }),
)

test('each is matched with one that is the same, none twice, and as many as can be', () => {
  fc.assert(
    fc.property(fc.array(averagings, { maxLength: 6 }), fc.array(averagings, { maxLength: 6 }), (stored, wanted) => {
      const matched = matchAverages(stored, wanted)
      const taken = matched.filter((index) => index !== undefined)
      expect(new Set(taken).size).toBe(taken.length)
      for (const [index, found] of matched.entries()) {
        if (found !== undefined) expect(stored[found]).toEqual(wanted[index])
      }
      const countIn = (list: readonly AveragingSettings[], one: AveragingSettings): number =>
        list.filter((other) => JSON.stringify(other) === JSON.stringify(one)).length
      for (const one of wanted) {
        const found = matched.filter((index) => index !== undefined && countIn([stored[index] as never], one) === 1)
        expect(found).toHaveLength(Math.min(countIn(stored, one), countIn(wanted, one)))
      }
    }),
  )
})

test('the order in which parameters were written does not count', () => {
  expect(matchAverages([{ kind: 'constant', decay: 0.5 }], [{ decay: 0.5, kind: 'constant' }])).toEqual([0])
})
