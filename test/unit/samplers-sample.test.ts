import { describe, expect, test } from 'vitest'
import { normals } from '../../lib/random/philox.js'
import { type SampleOptions, sample, sampleSteps } from '../../lib/sampling/sample.js'
import { maximumError } from './closeness.js'

const shrink = (x: Float64Array): Float64Array => x.map((value) => Math.tanh(value))
const base = { denoiser: shrink, shape: [2, 1, 2, 2], sampler: 'ddpm', steps: 10, seed: 4 } as const

describe('sample with a denoiser in JavaScript', () => {
  test('tells the denoiser time, step, alpha and sigma', async () => {
    const seen: unknown[] = []
    const { evaluations } = await sample({
      ...base,
      steps: 2,
      denoiser: (x, level) => {
        seen.push(level)
        return shrink(x)
      },
    })
    expect(evaluations).toBe(2)
    expect(seen).toMatchObject([
      { time: 999, step: 0, places: [0, 1], condition: 'null' },
      { time: 499, step: 1, places: [0, 1], condition: 'null' },
    ])
    const { alpha, sigma } = seen[1] as { alpha: number; sigma: number }
    expect(alpha ** 2 + sigma ** 2).toBeCloseTo(1, 15)
    expect(alpha ** 2).toBeCloseTo(0.0785872, 7)
  })

  test('starts from keyed normals, or from what is given', async () => {
    const starts: Float64Array[] = []
    const denoiser = (x: Float64Array): Float64Array => {
      starts.push(x.slice())
      return x
    }
    await sample({ ...base, steps: 1, denoiser })
    await sample({ ...base, steps: 1, denoiser, initial: new Float64Array(8).fill(2) })
    expect([...(starts[0] ?? [])]).toEqual([...normals(4, 'initial', 0, 0, 4), ...normals(4, 'initial', 0, 1, 4)])
    expect([...(starts[1] ?? [])]).toEqual(new Array(8).fill(2))
  })

  test('sample 17 is the same alone and in company', async () => {
    const together = await sample({ ...base, samples: [3, 17] })
    const alone = await sample({ ...base, shape: [1, 1, 2, 2], samples: [17] })
    expect(alone.data).toEqual(together.data.slice(4))
  })

  test('a denoiser may predict the noise', async () => {
    const exact = await sample({ ...base, denoiser: (x) => x.map(() => 0.25) })
    const noise = await sample({
      ...base,
      prediction: 'noise',
      denoiser: (x, { alpha, sigma }) => x.map((value) => (value - alpha * 0.25) / sigma),
    })
    expect(maximumError(noise.data, exact.data)).toBeLessThan(1e-10)
  })

  test('guidance mixes two answers', async () => {
    const { data, evaluations } = await sample({
      ...base,
      steps: 1,
      guidance: 3,
      denoiser: (x, { condition }) => x.map(() => (condition === 'given' ? 1 : 0.5)),
    })
    expect(evaluations).toBe(2)
    expect([...data]).toEqual(new Array(8).fill(2))
  })

  test('shows every step, and stops when the loop is left', async () => {
    const shown: number[] = []
    await sample({ ...base, onStep: ({ step }) => shown.push(step) })
    expect(shown).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
    let asked = 0
    const denoiser = (x: Float64Array): Float64Array => {
      asked += 1
      return x
    }
    for await (const { step } of sampleSteps({ ...base, denoiser })) if (step === 3) break
    expect(asked).toBe(3)
  })

  test('noise can be given', async () => {
    const asked: number[] = []
    const noise = (step: number): Float64Array => {
      asked.push(step)
      return new Float64Array(8)
    }
    await sample({ ...base, noise })
    expect(asked).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8])
  })

  test('is cancelled between instructions', async () => {
    const controller = new AbortController()
    const onStep = ({ step }: { step: number }): void => {
      if (step === 2) controller.abort(new Error('enough'))
    }
    await expect(sample({ ...base, signal: controller.signal, onStep })).rejects.toMatchObject({ code: 'DPM_ABORTED' })
  })

  test.each<[Partial<SampleOptions>, string]>([
    [{ sampler: 'dpdm' as never }, 'for `sampler` but received "dpdm". Did you mean "ddpm"?'],
    [{ prediction: 'eps' as never }, 'for `prediction` but received "eps".'],
    [{ shape: [0, 3] }, 'Expected whole numbers above 0, the count of samples first, for `shape`'],
    [{ sampler: 'ddim', initial: new Float64Array(8), seed: Number.NaN }, 'for `seed` but received NaN'],
    [
      { steps: 2000 },
      'from 1 to 1000 for `steps` but received 2000. Schedule `linear` has no more times (`schedule.steps`',
    ],
    [{ sampler: { kind: 'ddim', eta: Number.NaN } }, 'Expected a number for `eta` but received NaN.'],
    [
      { schedule: { kind: 'linear', betaEnd: Number.NaN } },
      'Expected a number for `schedule.betaEnd` but received NaN.',
    ],
    [{ guidance: Number.NaN }, 'Expected a finite number for `guidance` but received NaN.'],
    [{ guidance: { kind: 'classifier-free', scale: Number.POSITIVE_INFINITY } }, 'for `scale` but received Infinity.'],
    [{ clip: { kind: 'range', low: Number.NaN } }, 'Expected a number for `low` but received NaN.'],
    [
      { guides: [{ gradient: shrink }, { gradient: shrink, scale: Number.NaN }] },
      'Expected a finite number for `guides.1.scale` but received NaN.',
    ],
    [
      { initial: Float64Array.of(0, 0, 0, 0, 0, Number.NaN, 0, 0) },
      'Expected finite numbers for `x` but received NaN. That is sample 1, element 1.',
    ],
    [
      { image: { data: new Array(8).fill(Number.POSITIVE_INFINITY), strength: 0.5 } },
      'for `image` but received Infinity.',
    ],
    [{ image: { data: new Float64Array(8), strength: Number.NaN } }, 'for `image.strength` but received NaN'],
    [
      { inpaint: { known: new Array(8).fill(Number.NaN), mask: new Float64Array(8) } },
      'Expected finite numbers for `known` but received NaN.',
    ],
    [
      { inpaint: { known: new Float64Array(8), mask: new Array(8).fill(Number.NaN) } },
      'Expected numbers from 0 to 1 for `inpaint.mask` but received NaN.',
    ],
    [{ inpaint: { known: new Float64Array(8), mask: new Array(8).fill(2) } }, 'for `inpaint.mask` but received 2.'],
    [
      { sampler: { kind: 'ddpm', variance: 'learned-range' } },
      'the network has none: `diffusion.variance` is "fixed-large"',
    ],
    [
      { schedule: { kind: 'linear', steps: 10 } },
      'Sampling starts from noise alone, but schedule `linear` still has signal',
    ],
    [{ initial: [1] }, 'Expected 2 × 4 = 8 numbers for `x` but received 1.'],
    [{ samples: [1] }, 'Expected 2 sample indices for `samples`'],
    [{ schedule: { kind: 'sigmoidal' } as never }, 'for `schedule.kind` but received "sigmoidal"'],
  ])('%j is refused', async (change, message) => {
    await expect(sample({ ...base, ...change })).rejects.toThrow(message)
  })

  test.each([
    [
      'denoiser',
      { denoiser: (x: Float64Array) => x.map((v, i) => (i === 6 ? Number.NaN : v)) },
      'label 999` but received NaN',
    ],
    [
      'guide',
      { guides: [{ gradient: (x: Float64Array) => x.map(() => Number.NaN) }] },
      'guide 0 at time 999` but received NaN',
    ],
    [
      'learned variance',
      { variance: 'learned-range', denoiser: (x: Float64Array) => [...x, ...x.map(() => Number.NaN)] },
      '`variance in the output of the network at label 999` but received NaN',
    ],
  ] as const)('a %s that answers NaN ends the run, saying where', async (_, change, message) => {
    let asked = 0
    const denoiser = (x: Float64Array): Float64Array => {
      asked += 1
      return x
    }
    await expect(sample({ ...base, denoiser, ...change })).rejects.toMatchObject({
      code: 'DPM_NON_FINITE',
      message: expect.stringContaining(message) as string,
    })
    expect(asked).toBeLessThan(2)
  })

  test('noise that is not finite ends the run before it is used', async () => {
    const noise = (step: number) => new Float64Array(8).fill(step === 2 ? Number.NaN : 0)
    await expect(sample({ ...base, noise })).rejects.toThrow(
      'Expected finite numbers for `noise of draw 2` but received NaN',
    )
  })
})
