/** Runs that end at the schedule's least noise instead of the clean image. */
import { describe, expect, test } from 'vitest'
import { readScheduler } from '../../lib/checkpoints/diffusers/scheduler-config.js'
import { createSchedule, parseDiffusion } from '../../lib/diffusion/diffusion-options.js'
import { type FinalLevel, type StepSelection, selectLevels } from '../../lib/sampling/levels.js'
import { type SampleOptions, sample } from '../../lib/sampling/sample.js'
import { type SamplerKind, samplers } from '../../lib/sampling/samplers.js'
import { samplingSchema, withDefaults } from '../../lib/sampling/sampling-defaults.js'

const schedule = createSchedule(
  parseDiffusion({ schedule: { kind: 'linear', steps: 100, scaleToSteps: true } }).schedule,
)
const least = schedule.level(0)
const image = 0.4

/** Every image is one: x at a level with noise is alpha · image + sigma · noise. */
async function drawn(sampler: SampleOptions['sampler'], finalLevel: FinalLevel, change: Partial<SampleOptions> = {}) {
  const denoiser: SampleOptions['denoiser'] = (x) => x.map(() => image)
  const { data } = await sample({
    denoiser,
    shape: [200, 4],
    sampler,
    schedule,
    steps: 8,
    finalLevel,
    ...usual,
    ...change,
  })
  const mean = data.reduce((sum, value) => sum + value, 0) / data.length
  return { mean, deviation: Math.sqrt(data.reduce((sum, value) => sum + (value - mean) ** 2, 0) / data.length) }
}

const usual = { variance: 'fixed-small', allowSignal: true } as const

/** They end by options of their own, or go up from the clean image. */
const refused = ['annealed-langevin', 'ddim-inversion']
const straight = ['flow-euler', 'flow-midpoint', 'flow-heun']
/** With few steps they are far from the law for reasons of their own, or ask sample by sample, which takes long. */
const others = ['repaint', 'predictor-corrector', 'runge-kutta', 'rk4', 'dpm-solver-2m-sde', 'rk23', 'rk45']
const kinds = (Object.keys(samplers) as SamplerKind[]).filter(
  (kind) => ![...refused, ...straight, ...others].includes(kind),
)

describe.each(kinds)('%s', (kind) => {
  test('ends in the law of x at the least noise, or of x / alpha there', async () => {
    const { mean, deviation } = await drawn(kind, 'least-noise')
    expect(mean).toBeCloseTo(least.alpha * image, 2)
    expect(deviation / least.sigma).toBeGreaterThan(0.9)
    expect(deviation / least.sigma).toBeLessThan(1.1)
    const divided = await drawn(kind, 'least-noise-over-alpha')
    expect(divided.mean * least.alpha).toBeCloseTo(mean, 3)
    expect((await drawn(kind, 'clean')).deviation).toBeLessThan(1e-9)
  })

  test('stays where it is in a last step from there', async () => {
    const spacing = { kind: 'leading' } as const
    expect(selectLevels(schedule, { steps: 8, spacing, finalLevel: 'least-noise' }).slice(-2)).toEqual([least, least])
    const stayed = await drawn(kind, 'least-noise', { spacing })
    expect(stayed.deviation / least.sigma).toBeGreaterThan(0.9)
    expect(stayed.deviation / least.sigma).toBeLessThan(1.1)
  })
})

test.each(refused)('%s says why it does not', async (kind) => {
  const initial = { initial: new Float64Array(800) }
  await expect(drawn(kind as SamplerKind, 'least-noise', initial)).rejects.toThrow('`finalLevel`')
})

test('a name that is none is refused with the choices', async () => {
  await expect(drawn('ddim', 'noisy' as never)).rejects.toThrow(/clean.*least-noise.*noisy/)
})

test('from an image, and around a known part, runs end there too', async () => {
  const data = new Float64Array(800).fill(image)
  const edited = await drawn('ddim', 'least-noise', { image: { data, strength: 0.5 } })
  expect(edited.mean).toBeCloseTo(least.alpha * image, 2)
  expect(edited.deviation / least.sigma).toBeGreaterThan(0.9)
  const inpaint = { known: data, mask: new Float64Array(800) }
  const kept = await drawn('ddim', 'least-noise', { inpaint })
  expect(kept.deviation / least.sigma).toBeGreaterThan(0.9)
  expect(kept.deviation / least.sigma).toBeLessThan(1.1)
})

test('is for the model’s own sampler, as its steps are', () => {
  const sampling = samplingSchema.parse({ sampler: 'pndm', finalLevel: 'least-noise' })
  expect(withDefaults<StepSelection>({}, sampling)).toMatchObject({ finalLevel: 'least-noise' })
  expect(withDefaults({ sampler: 'pndm' as const }, sampling)).toMatchObject({ finalLevel: 'least-noise' })
  expect(withDefaults({ sampler: 'ddim' as const }, sampling)).toEqual({ sampler: 'ddim' })
  expect(withDefaults({ finalLevel: 'clean' as const }, sampling).finalLevel).toBe('clean')
})

test.each([
  [{ _class_name: 'DDIMScheduler', set_alpha_to_one: false }, 'least-noise'],
  [{ _class_name: 'DDIMScheduler' }, 'clean'],
  [{ _class_name: 'PNDMScheduler' }, 'least-noise'],
  [{ _class_name: 'DPMSolverMultistepScheduler', final_sigmas_type: 'sigma_min' }, 'least-noise'],
  // Before there was such a key.
  [{ _class_name: 'DPMSolverMultistepScheduler', algorithm_type: 'dpmsolver' }, 'least-noise'],
  [{ _class_name: 'UniPCMultistepScheduler', predict_x0: false }, 'least-noise'],
  [{ _class_name: 'DEISMultistepScheduler' }, 'least-noise'],
  [{ _class_name: 'EulerDiscreteScheduler', final_sigmas_type: 'sigma_min' }, 'least-noise-over-alpha'],
] as const)('the importer takes %j to end at %s', (config, finalLevel) => {
  expect(readScheduler(config, undefined, 'here').sampling.finalLevel).toBe(finalLevel)
})
