import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import {
  createProcess,
  type DiffusionOptions,
  type DiffusionProcess,
  parseDiffusion,
} from '../../lib/diffusion/diffusion-options.js'
import { logVarianceClips } from '../../lib/diffusion/posterior.js'
import { requireTrainable } from '../../lib/diffusion/trainable.js'
import { relativeError } from './closeness.js'
import { referenceLoss } from './reference-loss.js'

interface Case {
  readonly kind: 'learned' | 'learned-range'
  readonly time: number
  readonly clean: readonly number[]
  readonly noise: readonly number[]
  readonly output: readonly number[]
  readonly v: readonly number[]
  readonly simple: number
  readonly term: number
  readonly hybrid: number
  readonly vlb: number
}

const { steps, cases } = JSON.parse(
  readFileSync(new URL('../fixtures/objective/hybrid.json', import.meta.url), 'utf8'),
) as { readonly steps: number; readonly cases: readonly Case[] }

const processOf = (options: DiffusionOptions): DiffusionProcess => createProcess(parseDiffusion(options))
const schedule = { kind: 'cosine', steps } as const

describe("the rows of the variational bound hold improved diffusion's numbers", () => {
  test.each(cases)('$kind at time $time', ({ kind, time, clean, noise, output, v, simple, term, hybrid, vlb }) => {
    const lossOf = (bound: 'hybrid' | 'vlb') => {
      const { objective } = processOf({ schedule, variance: kind, bound })
      return referenceLoss({ row: objective.row(time), clean, noise, output: [...output, ...v] })
    }
    expect(relativeError(lossOf('hybrid').simple, simple)).toBeLessThan(1e-12)
    expect(relativeError(lossOf('hybrid').bound / Math.LN2, term)).toBeLessThan(1e-10)
    expect(relativeError(lossOf('hybrid').weighted, hybrid)).toBeLessThan(1e-10)
    expect(relativeError(lossOf('vlb').weighted, vlb)).toBeLessThan(1e-10)
  })
})

test('the error of the mean is the same whatever the network predicts', () => {
  for (const prediction of ['noise', 'clean', 'velocity', 'score', 'flow'] as const) {
    const { objective, prediction: made, schedule: levels } = processOf({ schedule, prediction, bound: 'vlb' })
    const { cOut } = made.numbers(levels.level(5))
    const perCleanError = objective.row(5).boundScale / cOut
    // meanClean = sqrt(abar_{t-1}) beta_t / (1 - abar_t).
    const [before, at] = [levels.level(4).alpha ** 2, levels.level(5).alpha ** 2]
    expect(relativeError(perCleanError, (Math.sqrt(before) * (1 - at / before)) / (1 - at))).toBeLessThan(1e-12)
  }
})

test('with a fixed variance the bound is the loss L of Ho et al.: with T terms in bits', () => {
  const { objective } = processOf({ schedule, variance: 'fixed-small', bound: 'vlb' })
  const row = objective.row(5)
  expect(row).toMatchObject({ weight: 0, boundDecoder: 0, boundWeight: steps / Math.LN2 })
  expect(row.boundLow).toBe(row.boundHigh)
  expect(relativeError(row.boundLow, row.boundVariance)).toBeLessThan(1e-15)
  expect(objective.detachMean).toBe(false)
})

test('the clip of the log variance reaches the row of time 0, and that of time 1 only there', () => {
  const [second = 0, floor = 0] = logVarianceClips.map((logVarianceClip) => {
    const { objective } = processOf({ schedule, variance: 'fixed-small', bound: 'vlb', logVarianceClip })
    return objective.row(0).boundLow
  })
  expect(floor).toBeCloseTo(Math.log(1e-20), 12)
  const { objective } = processOf({ schedule, variance: 'fixed-small', bound: 'vlb' })
  expect(second).toBe(objective.row(1).boundLow)
})

test('without a bound its columns are 0', () => {
  const { objective } = processOf({ schedule, variance: 'learned-range' })
  const { boundScale, boundVariance, boundLow, boundHigh, boundWeight, boundDecoder } = objective.row(3)
  expect([boundScale, boundVariance, boundLow, boundHigh, boundWeight, boundDecoder]).toEqual([0, 0, 0, 0, 0, 0])
})

const vdm = { schedule: 'learned', weighting: 'vlb', timeLabel: 'log-snr' } as const

describe('what cannot be is refused, naming both options', () => {
  test.each([
    [{ bound: 'hybrid' }, /The bound "hybrid" teaches a learned variance alone, but the variance is "fixed-large"/],
    [
      { bound: 'vlb', schedule: 'vp-sde', timeLabel: 'fraction' },
      /The bound "vlb" needs a schedule of discrete times.*`vp-sde`/,
    ],
    [{ loss: 'sliced', prediction: 'velocity' }, /The loss "sliced" needs the prediction "noise".*"velocity"/],
    [{ weighting: 'likelihood' }, /The weighting "likelihood" needs a schedule of continuous time.*`linear`/],
  ] as const)('%j', (options, message) => {
    expect(() => processOf(options)).toThrow(message)
  })
  test.each([
    [{ variance: 'learned-range' }, /The variance "learned-range".*`diffusion.bound` is "none"/],
    [{ bound: 'vlb', weighting: 'snr' }, /`diffusion.bound` "vlb".*`diffusion.weighting` "snr"/],
    [{ bound: 'vlb', loss: 'l1' }, /`diffusion.bound` "vlb".*`diffusion.loss` "l1"/],
    [{ bound: 'hybrid', variance: 'learned', loss: 'sliced' }, /`diffusion.loss` "sliced".*`diffusion.bound` "hybrid"/],
    [{ weighting: 'uncertainty', loss: 'sliced' }, /The weighting "uncertainty".*`diffusion.loss` "sliced"/],
    [
      { bound: 'vlb', coupling: 'optimal-transport' },
      /`diffusion.bound` "vlb".*`diffusion.coupling` "optimal-transport"/,
    ],
    [
      { bound: 'hybrid', coupling: 'optimal-transport' },
      /`diffusion.bound` "hybrid".*Set the coupling to "independent"/,
    ],
    [{ schedule: 'learned' }, /The schedule "learned".*`diffusion.weighting` is "uniform"/],
    [{ ...vdm, loss: 'l1' }, /The schedule "learned".*`diffusion.loss` is "l1"/],
    [{ ...vdm, times: 'logit-normal' }, /The schedule "learned".*`diffusion.times` is "logit-normal"/],
    [{ ...vdm, coupling: 'optimal-transport' }, /The schedule "learned".*`diffusion.coupling` is "optimal-transport"/],
    [{ ...vdm, timeLabel: 'thousandths' }, /The schedule "learned".*`diffusion.timeLabel` is "thousandths"/],
  ] as const)('%j for training', (options, message) => {
    expect(() => requireTrainable(parseDiffusion(options))).toThrow(message)
  })
  test('but not what can be trained', () => {
    expect(() => requireTrainable(parseDiffusion({ bound: 'hybrid', variance: 'learned-range' }))).not.toThrow()
    expect(() => requireTrainable(parseDiffusion({}))).not.toThrow()
    expect(() => requireTrainable(parseDiffusion(vdm))).not.toThrow()
    const straight = { kind: 'learned', shape: 'straight', ends: 'fixed' } as const
    expect(() => requireTrainable(parseDiffusion({ schedule: straight, timeLabel: 'thousandths' }))).not.toThrow()
  })
})

test('sliced score matching weighs by 2 sigma², as the plain loss on the noise has it', () => {
  const { objective, schedule: levels } = processOf({ schedule, loss: 'sliced' })
  expect(relativeError(objective.row(9).weight, 2 * levels.level(9).sigma ** 2)).toBeLessThan(1e-14)
})
