/** VDM's bound in continuous time: with the exact denoiser of Gaussian data it is tight on the cleanest level, whatever the schedule. */
import { describe, expect, test } from 'vitest'
import { createSchedule, type DiffusionOptions, parseDiffusion } from '../../lib/diffusion/diffusion-options.js'
import type { LikelihoodDenoiser } from '../../lib/diffusion/likelihood/likelihood-denoiser.js'
import { ratioOf } from '../../lib/diffusion/schedule.js'
import { continuousVlb } from '../../lib/evaluation/continuous-likelihood.js'
import { normals } from '../../lib/random/philox.js'
import { exactClean } from './gaussian.js'

const data = { mean: 0.1, deviation: 0.3 }
const elements = 256
const examples = Array.from({ length: 40 }, (_, n) => n)
const values = Uint8Array.from(
  examples.flatMap((n) => [...normals(5, 'initial', 0, n, elements)]),
  (normal) => Math.round(127.5 * (1 + data.mean + data.deviation * normal)),
)

function denoiserOf(schedule: DiffusionOptions['schedule']): LikelihoodDenoiser {
  const made = createSchedule(parseDiffusion({ schedule, prediction: 'clean', timeLabel: 'fraction' }).schedule)
  return {
    schedule: made,
    denoise: async (x, levels) => ({
      clean: x.map((one, i) => exactClean(data, levels[Math.floor(i / elements)] ?? made.clean, one)),
    }),
  }
}

const settings = { kind: 'continuous-vlb', levels: 64, clip: false } as const
const context = { seed: 1, signal: undefined, onProgress: () => undefined }

/**
 * Bits per dimension of the way from the prior to an image's noisy z = x + s · noise, s the least ratio: E[-log2 p(z)] less the entropy
 * of z given x. What comes on top is the decoder's.
 */
function exactBits(s: number, image: Uint8Array): number {
  const variance = data.deviation ** 2 + s * s
  const nats = image.reduce((sum, value) => {
    const off = value / 127.5 - 1 - data.mean
    return sum + 0.5 * Math.log(2 * Math.PI * variance) + (off * off + s * s) / (2 * variance)
  }, 0)
  return (nats / image.length - 0.5 * Math.log(2 * Math.PI * Math.E * s * s)) / Math.LN2
}

describe('on Gaussian data with the exact denoiser', () => {
  test.each<[string, DiffusionOptions['schedule']]>([
    ['learned', { kind: 'learned', gammaMax: 9, units: 16 }],
    ['learned, straight, from more noise', { kind: 'learned', shape: 'straight', gammaMin: -10.2, gammaMax: 9 }],
    ['vp-sde', 'vp-sde'],
    ['edm', 'edm'],
    ['rectified-flow', 'rectified-flow'],
  ])('%s: prior and diffusion are the closed form to four standard errors', async (_, schedule) => {
    const denoiser = denoiserOf(schedule)
    const run = continuousVlb.start({ denoiser, variance: 'fixed-small' }, settings)
    const bits = await run.add({ values, examples, elements }, context)
    const mean = bits.reduce((sum, one) => sum + one / bits.length, 0)
    const { reconstruction, prior, diffusion } = run.details()
    expect(reconstruction + prior + diffusion).toBeCloseTo(mean, 12)
    const least = ratioOf(denoiser.schedule.level(denoiser.schedule.cleanest))
    const off = bits.map((one, n) => one - exactBits(least, values.subarray(n * elements, (n + 1) * elements)))
    const bias = off.reduce((sum, one) => sum + one / off.length, 0) - reconstruction
    const spread = off.reduce((sum, one) => sum + (one - reconstruction - bias) ** 2 / off.length, 0)
    expect(Math.sqrt(spread / off.length)).toBeLessThan(0.03)
    expect(Math.abs(bias)).toBeLessThan(4 * Math.sqrt(spread / off.length))
    expect(diffusion).toBeGreaterThan(1)
  })

  test('an image has the same bits in any batch', async () => {
    const model = { denoiser: denoiserOf('vp-sde'), variance: 'fixed-small' } as const
    const few = { ...settings, levels: 4 }
    const all = await continuousVlb.start(model, few).add({ values, examples, elements }, context)
    const third = { values: values.subarray(3 * elements, 4 * elements), examples: [3], elements }
    expect(await continuousVlb.start(model, few).add(third, context)).toEqual([all[3]])
  })
})

test.each<[DiffusionOptions['schedule'], RegExp]>([
  ['linear', /needs a schedule of continuous time, but schedule `linear` has 1000 times. Use the method "vlb"/],
  [{ kind: 'rectified-flow', noisiest: 1 }, /needs some signal at every time/],
])('%j is refused', (schedule, message) => {
  expect(() => continuousVlb.start({ denoiser: denoiserOf(schedule), variance: 'fixed-small' }, settings)).toThrow(
    message,
  )
})
