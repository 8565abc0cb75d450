import { describe, expect, test } from 'vitest'
import { likelihoods } from '../../lib/evaluation/likelihood.js'
import { checkLikelihoods } from '../../lib/evaluation/selftest/likelihood-checks.js'

describe('likelihoods of images whose own is known', () => {
  test('all of the list are within 0.01 bits per dimension, and the bound is above the data', async () => {
    const t = performance.now()
    const checks = await checkLikelihoods()
    console.error(checks, performance.now() - t)
    expect(new Set(checks.map(({ likelihood }) => likelihood))).toEqual(new Set(Object.keys(likelihoods)))
  })
})
