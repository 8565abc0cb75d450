import { describe, expect, test } from 'vitest'
import { createSchedule, parseDiffusion } from '../../lib/diffusion/diffusion-options.js'
import type { Schedule } from '../../lib/diffusion/schedule.js'
import { createLabeller, type TimeLabel, timeLabels } from '../../lib/diffusion/time-label.js'

const scheduleOf = (options: unknown): Schedule => createSchedule(parseDiffusion({ schedule: options }).schedule)
const names = Object.keys(timeLabels) as TimeLabel[]

describe('published labels', () => {
  test.each<[TimeLabel, unknown, number, number]>([
    ['step', 'linear', 700, 700],
    ['thousandths', { kind: 'linear', steps: 4000, scaleToSteps: true }, 3000, 750],
    ['thousandths', 'rectified-flow', 0.25, 250],
    ['zero-to-999', 'vp-sde', 1, 999],
    ['zero-to-999', 'vp-sde', 0.5, 499.5],
    ['zero-to-999', 'linear', 700, 700],
    ['zero-to-999', { kind: 'linear', steps: 1 }, 0, 0],
    ['fraction', { kind: 'linear', steps: 500 }, 499, 1],
    ['fraction', 'rectified-flow', 0.25, 0.25],
    ['alpha', { kind: 'betas', betas: [0.19, 0.36] }, 1, 0.72],
    ['ratio', 'edm', 3, 3],
    ['log-sigma', 've-sde', 1, Math.log(50)],
    ['log-half-sigma', { kind: 've-sde', sigmaMax: 100 }, 1, Math.log(50)],
    ['steps-left', 'linear', 700, 299],
    ['quarter-log-ratio', 'edm', 80, Math.log(80) / 4],
    ['log-snr', 'edm', 0.4, 500],
    ['log-snr', 'linear', 0, 0],
    ['log-snr', 'linear', 999, 1000],
  ])('%s on %j at time %d is %d', (label, options, time, value) => {
    const schedule = scheduleOf(options)
    expect(createLabeller(label, schedule)(schedule.level(time))).toBeCloseTo(value, 12)
  })
})

/** Those that only whole times have. */
const discrete: readonly TimeLabel[] = ['step', 'steps-left']

test.each(names)('%s moves one way with time', (label) => {
  for (const kind of discrete.includes(label) ? ['linear', 'ncsn'] : ['linear', 'cosine', 've-sde', 'vp-sde', 'edm']) {
    if (label === 'alpha' && (kind === 've-sde' || kind === 'edm')) continue
    const schedule = scheduleOf(kind)
    const { cleanest, noisiest } = schedule
    const labeller = createLabeller(label, schedule)
    const labels = Array.from({ length: 30 }, (_, i) =>
      labeller(schedule.level(cleanest + (i / 29) * (noisiest - cleanest))),
    )
    const direction = label === 'alpha' || label === 'steps-left' ? -1 : 1
    for (let i = 1; i < 30; i++) expect(direction * ((labels[i] ?? 0) - (labels[i - 1] ?? 0))).toBeGreaterThan(0)
  }
})

describe('labels that mean nothing', () => {
  test.each<[TimeLabel, unknown, string]>([
    ['step', 'edm', 'The time label "step" needs a schedule of discrete times'],
    ['ratio', { kind: 'linear', zeroTerminalSnr: true }, 'The time label "ratio" needs some signal at every time'],
    ['quarter-log-ratio', { kind: 'rectified-flow', noisiest: 1 }, 'schedule `rectified-flow` has none left at time 1'],
    ['log-snr', { kind: 'cosine', zeroTerminalSnr: true }, 'Choose the time label "thousandths"'],
    ['log-snr', { kind: 'constant', steps: 1 }, 'a schedule of more than one level'],
  ])('%s on %j', (label, options, message) => {
    expect(() => createLabeller(label, scheduleOf(options))).toThrow(message)
  })
})
