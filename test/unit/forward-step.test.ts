import { describe, expect, test } from 'vitest'
import { createProcess, parseDiffusion } from '../../lib/diffusion/diffusion-options.js'
import { forwardStepFields, forwardStepNumbers, gainOf, gateAt } from '../../lib/diffusion/forward-step.js'
import type { LikelihoodDenoiser } from '../../lib/diffusion/likelihood/likelihood-denoiser.js'
import { variationalStep } from '../../lib/diffusion/likelihood/variational-step.js'
import { variationalTerms } from '../../lib/diffusion/likelihood/variational-terms.js'
import { posterior } from '../../lib/diffusion/posterior.js'
import { type DiscreteSchedule, type Level, requireDiscrete } from '../../lib/diffusion/schedule.js'

const process = createProcess(parseDiffusion({ schedule: { kind: 'cosine', steps: 12 }, prediction: 'velocity' }))
const schedule: DiscreteSchedule = requireDiscrete(process.schedule, 'the test')

/** Any function will do for F, if it leaves the clean image alone. */
const forward = (x: number, level: Level): number => x + gateAt(level) * Math.sin(3 * x + level.time)

describe.each([...Array(12).keys()])('the posterior from time %i', (time) => {
  test('has the forward process of the time before for its marginal, whatever F is', () => {
    const [from, to] = [schedule.level(time), schedule.level(time - 1)]
    const { meanNoisy, meanClean, variance } = posterior(from, to)
    for (const x of [-1, -0.2, 0.7]) {
      const [here, before] = [forward(x, from), forward(x, to)]
      const aim = here + gainOf(from, to) * (before - here)
      // x_t = alpha_t F_t + sigma_t noise goes in, mean and variance of x_s come out.
      expect(meanNoisy * from.alpha * here + meanClean * aim).toBeCloseTo(to.alpha * before, 12)
      expect((meanNoisy * from.sigma) ** 2 + variance).toBeCloseTo(to.sigma ** 2, 12)
    }
  })

  test('is what the network is trained towards: its target stands for the aim', () => {
    const [from, to] = [schedule.level(time), schedule.level(time - 1)]
    const numbers = forwardStepNumbers(process, [time])
    const at = (field: (typeof forwardStepFields)[number]): number =>
      numbers[forwardStepFields.indexOf(field)] ?? Number.NaN
    const { cSkip, cOut, targetClean, targetNoise } = process.prediction.numbers(from)
    const [x, noise] = [0.4, -1.3]
    const [here, before] = [forward(x, from), forward(x, to)]
    const noisy = from.alpha * here + from.sigma * noise
    const target = targetClean * here + targetNoise * noise + at('gain') * (before - here)
    expect(cSkip * noisy + cOut * target).toBeCloseTo(here + gainOf(from, to) * (before - here), 10)
    expect([at('gate'), at('gateBefore')]).toEqual([gateAt(from), gateAt(to)])
  })
})

test('the gate is shut where there is only image or only noise, and open half way', () => {
  expect(gateAt(schedule.clean)).toBe(0)
  expect(gateAt({ time: 0, alpha: 0, sigma: 1 })).toBe(0)
  expect(gateAt({ time: 0, alpha: Math.SQRT1_2, sigma: Math.SQRT1_2 })).toBeCloseTo(1, 14)
})

describe('the bound', () => {
  const x = Float64Array.from({ length: 8 }, (_, i) => Math.round(255 * ((i * 0.37) % 1)) / 127.5 - 1)
  const denoiser: LikelihoodDenoiser = {
    schedule,
    denoise: async (noisy, levels) => ({
      clean: noisy.map((value, i) => value * (levels[Math.floor(i / 4)]?.alpha ?? 0)),
    }),
  }
  const termsAt = (time: number, more: Partial<LikelihoodDenoiser>) => {
    const step = variationalStep(schedule, time, 'fixed-small', 'second-step')
    const request = { x, examples: [0, 1], steps: [step, step], clip: null, seed: 4 } as const
    return variationalTerms({ ...request, denoiser: { ...denoiser, ...more } })
  }

  test('is to the last digit the usual one where F is the image itself', async () => {
    for (const time of [0, 1, 11]) {
      expect(await termsAt(time, { encode: async (images) => images.slice() })).toEqual(await termsAt(time, {}))
    }
  })

  test('has a term at the aim of the posterior, and a decoder at the image', async () => {
    const encode: LikelihoodDenoiser['encode'] = async (images, levels) =>
      images.map((value, i) => forward(value, levels[Math.floor(i / 4)] ?? schedule.clean))
    // A denoiser that knows the aim has no divergence left.
    const aims = (time: number): Float64Array => {
      const [from, to] = [schedule.level(time), schedule.level(time - 1)]
      return x.map((one) => {
        const [here, before] = [forward(one, from), forward(one, to)]
        return here + gainOf(from, to) * (before - here)
      })
    }
    for (const time of [1, 6, 11]) {
      const knowing = { encode, denoise: async () => ({ clean: aims(time) }) }
      for (const { bits } of await termsAt(time, knowing)) expect(Math.abs(bits.erf)).toBeLessThan(1e-12)
      const [ofImage] = await termsAt(time, { encode, denoise: async () => ({ clean: x }) })
      expect(ofImage?.bits.erf).toBeGreaterThan(1e-6)
    }
    expect([...aims(0)]).toEqual([...x].map((value) => expect.closeTo(value, 12)))
  })
})
