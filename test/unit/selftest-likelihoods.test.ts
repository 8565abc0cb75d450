/** Every likelihood of the list on images whose own is known in closed form. */
import { describe, expect, test } from 'vitest'
import { likelihoods } from '../../lib/evaluation/likelihood.js'
import { allowedError, checkLikelihoods } from '../../lib/evaluation/selftest/likelihood-checks.js'

describe('likelihoods of images whose own is known', () => {
  test('the probability flow is within 1e-4 bits per dimension of log p, however images are dequantised', async () => {
    const checks = await checkLikelihoods({ kinds: ['ode'] })
    expect(new Set(checks.map(({ variant }) => variant))).toHaveLength(3)
    for (const { data, variant, error, passes } of checks) {
      expect(error, `${data}, ${variant}`).toBeLessThan(1e-4)
      expect(passes).toBe(true)
    }
    expect(new Set(checks.map(({ data }) => data))).toEqual(new Set(['gaussian', 'mixture']))
  })

  test('the bound is that of its formula up to what chance leaves, and above the data', async () => {
    for (const check of await checkLikelihoods({ kinds: ['vlb'] })) {
      expect(check.error).toBeLessThan(3 * check.standardError)
      // Enough draws that chance alone does not fail it: three standard errors are less than what is allowed.
      expect(3 * check.standardError).toBeLessThan(allowedError)
      expect(check.passes).toBe(true)
      // 25 steps cost it some tenths of a bit.
      expect(check.exact - check.bitsOfData).toBeGreaterThan(0.1)
      expect(check.exact - check.bitsOfData).toBeLessThan(0.6)
    }
  })

  test('the bound of continuous time is that of its formula up to what chance leaves, and above the data', async () => {
    for (const check of await checkLikelihoods({ kinds: ['continuous-vlb'] })) {
      expect(check.error).toBeLessThan(3 * check.standardError)
      expect(3 * check.standardError).toBeLessThan(allowedError)
      expect(check.passes).toBe(true)
      expect(check.exact - check.bitsOfData).toBeGreaterThan(0.1)
    }
  })

  test('none is left out, and the progress ends at 1', async () => {
    const fractions: number[] = []
    const checks = await checkLikelihoods({ kinds: ['ode'], onProgress: (fraction) => fractions.push(fraction) })
    expect(fractions).toHaveLength(checks.length)
    expect(fractions.at(-1)).toBe(1)
    expect(Object.keys(likelihoods)).toEqual(['vlb', 'continuous-vlb', 'ode'])
  })

  test('a signal stops them between two answers of the denoiser', async () => {
    const controller = new AbortController()
    setTimeout(() => controller.abort(), 20)
    await expect(checkLikelihoods({ kinds: ['vlb'], signal: controller.signal })).rejects.toMatchObject({
      code: 'DPM_ABORTED',
    })
  })
})
