/** RePaint on two correlated numbers, one of which is known: the mean of the other is known in closed form. */
import { describe, expect, test } from 'vitest'
import { createSchedule, parseDiffusion } from '../../lib/diffusion/diffusion-options.js'
import type { Level } from '../../lib/diffusion/schedule.js'
import { lawOf, runAffine } from '../../lib/evaluation/analytic/affine-program.js'
import { selectLevels } from '../../lib/sampling/levels.js'
import { runReference } from '../../lib/sampling/reference-executor.js'
import { repaintWalk } from '../../lib/sampling/repaint.js'
import { type Denoiser, sample } from '../../lib/sampling/sample.js'
import { parseSampler, recordSampler, type SamplerOptions } from '../../lib/sampling/samplers.js'
import { contextOf } from './record-context.js'

const schedule = createSchedule(parseDiffusion({}).schedule)
const correlation = 0.9

/** E[x_0 | x_t] for data N(0, [[1, ρ], [ρ, 1]]): along (1, 1) and (1, -1) the variances are 1 + ρ and 1 - ρ. */
function clean([a = 0, b = 0]: ArrayLike<number> & Iterable<number>, { alpha, sigma }: Pick<Level, 'alpha' | 'sigma'>) {
  const gain = (variance: number): number => (alpha * variance) / (alpha ** 2 * variance + sigma ** 2)
  const [sum, difference] = [gain(1 + correlation) * (a + b), gain(1 - correlation) * (a - b)]
  return [(sum + difference) / 2, (sum - difference) / 2]
}

/** The mean of what is drawn: every step is affine, so it is what comes of noise that is 0 everywhere. */
async function drawnMean(sampler: SamplerOptions, steps: number): Promise<number> {
  const { data } = await sample({
    denoiser: (x, level) => clean(x, level),
    shape: [1, 2],
    sampler,
    variance: 'fixed-small',
    schedule,
    steps,
    initial: [0, 0],
    noise: () => [0, 0],
    inpaint: { known: [1.5, 0], mask: [0, 1] },
  })
  expect(data[0]).toBe(1.5)
  return data[1] ?? Number.NaN
}

/** The deviation of what is drawn: every draw is an axis of its own, along which one run takes a unit step. */
async function drawnDeviation(sampler: SamplerOptions, steps: number): Promise<number> {
  const levels = selectLevels(schedule, { steps })
  const program = recordSampler(parseSampler(sampler), contextOf(schedule, {}, { levels, inpaint: true }))
  const keys = program.instructions.flatMap((i) => (i.op === 'noise' ? [`${i.purpose} ${i.step}`] : []))
  // Two elements of the start, then two of each draw.
  const axes = ['start', ...new Set(keys)].flatMap((key) => [`${key} 0`, `${key} 1`])
  const places = new Map(axes.map((axis, n) => [axis, n]))
  const unit = (key: string): Float64Array => {
    const values = new Float64Array(2 * axes.length)
    for (const element of [0, 1]) values[2 * (places.get(`${key} ${element}`) ?? 0) + element] = 1
    return values
  }
  const { output } = await runReference(program, {
    network: (x, label) => {
      const level = schedule.level(label)
      const result = new Float64Array(x.length)
      for (let n = 0; n < x.length; n += 2) result.set(clean(x.subarray(n, n + 2), level), n)
      return result
    },
    inputs: {
      x: unit('start'),
      known: new Float64Array(2 * axes.length),
      mask: Float64Array.from({ length: 2 * axes.length }, (_, i) => i % 2),
    },
    shape: [2],
    samples: axes.map((_, n) => n),
    seed: 0,
    noise: (step, purpose) => unit(`${purpose} ${step}`),
  })
  return Math.sqrt(output.reduce((sum, value, i) => sum + (i % 2) * value ** 2, 0))
}

describe('what is drawn beside a known number', () => {
  test('comes to the conditional mean as jumps grow, where plain replacement does not', async () => {
    const exact = correlation * 1.5
    const errors: number[] = []
    for (const jumps of [1, 2, 5, 10]) {
      errors.push(Math.abs((await drawnMean({ kind: 'repaint', jumpLength: 10, jumps }, 100)) - exact))
    }
    expect(errors).toEqual(errors.toSorted((a, b) => b - a))
    expect(errors.at(-1)).toBeLessThan(0.25 * (errors[0] ?? 0))
    // What is left comes of the last way down: the less noise it starts with, the less.
    const fine = await drawnMean({ kind: 'repaint', jumpLength: 10, jumps: 10 }, 250)
    expect(Math.abs(fine - exact)).toBeLessThan(0.05)
    for (const steps of [100, 1000]) {
      expect(Math.abs((await drawnMean('ddpm', steps)) - exact)).toBeGreaterThan(0.4)
    }
  })

  test('comes to the conditional deviation too', async () => {
    const exact = Math.sqrt(1 - correlation ** 2)
    const errors: number[] = []
    for (const jumps of [1, 2, 5]) {
      errors.push(Math.abs((await drawnDeviation({ kind: 'repaint', jumpLength: 5, jumps }, 60)) - exact))
    }
    expect(errors).toEqual(errors.toSorted((a, b) => b - a))
    expect(errors.at(-1)).toBeLessThan(0.15 * (errors[0] ?? 0))
  })

  test('with one way down is plain replacement, to the byte', async () => {
    const once = { shape: [2, 2], schedule, steps: 30, seed: 4, variance: 'fixed-small' } as const
    const inpaint = { known: [1.5, 0, -0.2, 0], mask: [0, 1, 0, 1] }
    const denoiser: Denoiser = (x, level) => [...clean(x.slice(0, 2), level), ...clean(x.slice(2), level)]
    const plain = await sample({ ...once, denoiser, inpaint, sampler: 'ddpm' })
    const repainted = await sample({ ...once, denoiser, inpaint, sampler: { kind: 'repaint', jumps: 1 } })
    expect([...repainted.data]).toEqual([...plain.data])
  })

  test('needs something to go by', () => {
    expect(() => recordSampler(parseSampler('repaint'), contextOf(schedule, { steps: 20 }))).toThrow(
      /repaint.*inpaint.*ddpm/,
    )
  })
})

describe('the walk', () => {
  test('is the one of figure 9: 250 levels, jumps of 10, 10 times', () => {
    const walk = repaintWalk(250, { jumpLength: 10, jumps: 10 })
    // The authors' code jumps at t = 0, 10 … 230, which is place 249 - t here.
    const backs = walk.filter(({ back }) => back)
    expect(new Set(backs.map(({ from }) => from))).toEqual(new Set(Array.from({ length: 24 }, (_, n) => 249 - 10 * n)))
    expect(backs).toHaveLength(24 * 9)
    expect(walk.length - backs.length).toBe(250 + 24 * 9 * 10)
    expect(backs.every(({ from, to }) => from - to === 10)).toBe(true)
    expect(walk.at(-1)).toEqual({ from: 249, to: 250, back: false })
  })

  test('goes from each place to the next', () => {
    const walk = repaintWalk(17, { jumpLength: 4, jumps: 3 })
    walk.forEach(({ from, to, back }, n) => {
      expect(from).toBe(walk[n - 1]?.to ?? 0)
      expect(to - from).toBe(back ? -4 : 1)
    })
  })

  test('leaves the law of x exact at every level, for a single image that is all to be drawn', () => {
    const levels = selectLevels(schedule, { steps: 25 })
    const context = contextOf(schedule, {}, { levels, inpaint: true })
    const program = recordSampler(parseSampler({ kind: 'repaint', jumpLength: 5, jumps: 4 }), context)
    const [first = schedule.clean] = levels
    const start = { mean: first.alpha * 0.4, deviation: first.sigma }
    const { steps } = runAffine(program, () => ({ gain: 0, offset: 0.4 }), { x: start, known: 9, mask: 1 })
    expect(steps).toHaveLength(25)
    for (const [i, { x }] of steps.entries()) {
      const { alpha, sigma } = levels[i + 1] ?? first
      const { mean, deviation } = lawOf(x, { x: start })
      expect(mean).toBeCloseTo(0.4 * alpha, 12)
      expect(deviation).toBeCloseTo(sigma, 12)
    }
  })

  test('shows every level once, draws nothing twice but what is put back', () => {
    const context = contextOf(schedule, {}, { levels: selectLevels(schedule, { steps: 25 }), inpaint: true })
    const program = recordSampler(parseSampler({ kind: 'repaint', jumpLength: 5, jumps: 4 }), context)
    expect(program.steps).toBe(25)
    const keys = program.instructions.flatMap((i) => (i.op === 'noise' ? [`${i.purpose} ${i.step}`] : []))
    // The recorder puts the known part back at the 24 noisy levels with the same noise.
    expect(keys.length - new Set(keys).size).toBe(24)
  })
})
