/** The prior's and the reconstruction's terms of VDM's bound against sums and integrals taken the long way. */
import { describe, expect, test } from 'vitest'
import { priorTerm, reconstructionTerm } from '../../lib/diffusion/learned/bound-ends.js'
import { normalDivergence } from '../../lib/diffusion/likelihood/normal-divergence.js'
import { relativeError } from './closeness.js'

const valueAt = (k: number): number => k / 127.5 - 1

function sharesOf(values: readonly number[]): Float64Array {
  const shares = new Float64Array(256)
  for (const value of values) shares[value] = (shares[value] ?? 0) + 1 / values.length
  return shares
}

const pictures = [sharesOf([0, 0, 3, 128, 131, 200, 255]), new Float64Array(256).fill(1 / 256), sharesOf([255])]

/** -E ln p(x | z), p a softmax over all 256 values, the expectation over the noise by very many midpoints. */
function reconstruction(gamma: number, shares: Float64Array): number {
  const deviation = Math.exp(gamma / 2)
  const count = 4000
  let sum = 0
  shares.forEach((share, k) => {
    if (share === 0) return
    for (let i = 0; i < count; i++) {
      const noise = 20 * ((i + 0.5) / count) - 10
      const logits = Array.from({ length: 256 }, (_, j) => {
        const off = (valueAt(k) + deviation * noise - valueAt(j)) / deviation
        return -0.5 * off * off
      })
      const largest = Math.max(...logits)
      const total = largest + Math.log(logits.reduce((all, one) => all + Math.exp(one - largest), 0))
      const density = Math.exp(-0.5 * noise * noise) / Math.sqrt(2 * Math.PI)
      sum += share * (20 / count) * density * (total - (logits[k] ?? 0))
    }
  })
  return sum
}

describe('reconstruction', () => {
  test.each([-13.3, -9.7, -6, -2, 1])('at gamma %d is the decoder’s expected surprise', (gamma) => {
    for (const shares of [pictures[0], pictures[2]] as Float64Array[]) {
      expect(Math.abs(reconstructionTerm(gamma, shares).value / reconstruction(gamma, shares) - 1)).toBeLessThan(1e-9)
    }
  })

  test('costs nothing where there is no noise, and all 256 values where there is nothing else', () => {
    for (const shares of pictures) {
      expect(reconstructionTerm(-20, shares).value).toBeLessThan(1e-12)
      expect(relativeError(reconstructionTerm(20, shares).value, Math.log(256))).toBeLessThan(1e-4)
    }
  })
})

test('what the decoder costs beyond the entropy of the noise falls to the width of a value, where it is smooth: log of 2/255', () => {
  // Bits lost by cutting a smooth density into values: 0 where noise is wide, more and more where it is narrower than a value.
  const lost = (gamma: number): number =>
    reconstructionTerm(gamma, sharesOf([128])).value -
    0.5 * Math.log(2 * Math.PI * Math.E * Math.exp(gamma)) +
    Math.log(2 / 255)
  expect(Math.abs(lost(-8))).toBeLessThan(1e-13)
  expect(lost(-11)).toBeGreaterThan(1e-6)
  expect(lost(-14)).toBeGreaterThan(0.5)
})

test("the prior's is the mean divergence of two Gaussians", () => {
  for (const gamma of [-3, 0, 5, 9]) {
    const [signal, noise] = [1 / (1 + Math.exp(gamma)), 1 / (1 + Math.exp(-gamma))]
    for (const shares of pictures) {
      const exact = shares.reduce(
        (sum, share, k) => sum + share * normalDivergence(Math.sqrt(signal) * valueAt(k), Math.log(noise), 0, 0),
        0,
      )
      expect(Math.abs(priorTerm(gamma, shares).value - exact)).toBeLessThan(1e-14)
    }
  }
})

test.each([
  ['prior', priorTerm, [-2, 0.5, 5]],
  ['reconstruction', reconstructionTerm, [-13.3, -11, -8, -4, 0]],
] as const)('the slope of the %s is that of its values', (_, term, gammas) => {
  for (const gamma of gammas) {
    for (const shares of pictures) {
      const h = 1e-3
      const at = (steps: number): number => term(gamma + steps * h, shares).value
      const wanted = (at(-2) - 8 * at(-1) + 8 * at(1) - at(2)) / (12 * h)
      expect(Math.abs(term(gamma, shares).slope - wanted)).toBeLessThan(1e-10 + 1e-8 * Math.abs(wanted))
    }
  }
})
