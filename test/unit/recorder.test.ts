import { describe, expect, test } from 'vitest'
import * as z from 'zod'
import { createProcess, parseDiffusion } from '../../lib/diffusion/diffusion-options.js'
import { defineSampler, type SamplerVerbs, type Value } from '../../lib/sampling/define-sampler.js'
import type { Program } from '../../lib/sampling/program.js'
import { type RecordContext, record } from '../../lib/sampling/recorder.js'
import { parseSampler, recordSampler } from '../../lib/sampling/samplers.js'
import { relativeError } from './closeness.js'
import { contextOf, guidedBy } from './record-context.js'

const { schedule, prediction, label } = createProcess(
  parseDiffusion({ schedule: { kind: 'linear', steps: 100 }, timeLabel: 'fraction' }),
)
const context = contextOf(schedule, { steps: 5 }, { prediction, label, variance: 'fixed-large' })
type Formula = (x: Value, verbs: SamplerVerbs<{ kind: 'custom' }>) => Value
const schema = z.strictObject({ kind: z.literal('custom') })
const recordFormula = (formula: Formula, change: Partial<RecordContext> = {}): Program =>
  record(defineSampler('custom', schema, formula), { kind: 'custom' }, { ...context, ...change })
const operations = (program: Program): string[] => program.instructions.map(({ op }) => op)

describe('recorded samplers', () => {
  test('DDIM needs two registers, DDPM three, guidance one more', () => {
    expect(recordSampler(parseSampler('ddim'), context).registers).toBe(2)
    expect(recordSampler(parseSampler('ddpm'), context).registers).toBe(3)
    expect(recordSampler(parseSampler('ddim'), { ...context, ...guidedBy(2) }).registers).toBe(3)
  })
  test('DDPM adds noise in all steps but the last, keyed by the count of the step', () => {
    const program = recordSampler(parseSampler('ddpm'), context)
    expect(program.instructions.flatMap((i) => (i.op === 'noise' ? [i.step] : []))).toEqual([0, 1, 2, 3])
    expect(program.steps).toBe(5)
    expect(program.name).toBe('ddpm')
  })
  test('DDPM inherits the variance of the process unless told otherwise', () => {
    const inherited = recordSampler(parseSampler('ddpm'), context)
    const large = recordSampler(parseSampler({ kind: 'ddpm', variance: 'fixed-large' }), context)
    const small = recordSampler(parseSampler({ kind: 'ddpm', variance: 'fixed-small' }), context)
    expect(inherited).toEqual(large)
    expect(inherited).not.toEqual(small)
  })
  test('DDIM without eta draws nothing', () => {
    expect(operations(recordSampler(parseSampler('ddim'), context))).not.toContain('noise')
  })
  test('the network is told the label that it was trained with', () => {
    const program = recordSampler(parseSampler('ddim'), context)
    expect(program.instructions.flatMap((i) => (i.op === 'evaluate' ? [i.cNoise] : []))).toEqual([
      1, 0.8, 0.6, 0.4, 0.2,
    ])
  })
})

describe('guidance', () => {
  const evaluations = (scale: number | null): string[] =>
    recordFormula((x, { denoise, levels }) => denoise(x, levels[0] ?? schedule.level(0)), {
      ...guidedBy(scale),
    }).instructions.flatMap((i) => (i.op === 'evaluate' ? [i.condition] : []))
  test('asks the network once where one answer is enough', () => {
    expect(evaluations(null)).toEqual(['null'])
    expect(evaluations(1)).toEqual(['given'])
    expect(evaluations(0)).toEqual(['null'])
    expect(evaluations(4)).toEqual(['given', 'null'])
  })
  test('and prediction become one sum: cSkip x + cOut (scale F_given + (1 - scale) F_null)', () => {
    const level = schedule.level(50)
    const program = recordFormula((x, { denoise }) => denoise(x, level), guidedBy(4))
    const sum = program.instructions.find((i) => i.op === 'combine')
    const coefficients = sum?.op === 'combine' ? sum.terms.map(([coefficient]) => coefficient) : []
    expect(relativeError(coefficients[0] ?? 0, 1 / level.alpha)).toBeLessThan(1e-15)
    expect(relativeError(coefficients[1] ?? 0, (-4 * level.sigma) / level.alpha)).toBeLessThan(1e-15)
    expect(relativeError(coefficients[2] ?? 0, (3 * level.sigma) / level.alpha)).toBeLessThan(1e-15)
  })
})

describe('clips', () => {
  const clipped = (clip: RecordContext['clip']): Program =>
    recordFormula((x, { denoise }) => denoise(x, schedule.level(50)), { clip })
  test('of each kind become their instruction', () => {
    expect(operations(clipped({ kind: 'none' }))).toEqual(['evaluate', 'combine'])
    expect(clipped({ kind: 'range', low: -1, high: 1 }).instructions.at(-1)).toMatchObject({
      op: 'clip',
      low: -1,
      high: 1,
    })
    expect(clipped({ kind: 'dynamic', quantile: 0.9, low: 1, high: 5 }).instructions.at(-1)).toMatchObject({
      op: 'threshold',
      quantile: 0.9,
      low: 1,
      high: 5,
    })
  })
})

describe('combine', () => {
  test('leaves out zeros, adds up equals and keeps a lone value as it is', () => {
    const program = recordFormula((x, { combine, noise }) => {
      const drawn = noise(0)
      return combine([
        [
          0.5,
          combine([
            [1, x],
            [0, drawn],
          ]),
        ],
        [0.25, x],
        [2, drawn],
      ])
    })
    expect(program.instructions).toEqual([
      { op: 'noise', out: 1, step: 0, purpose: 1 },
      {
        op: 'combine',
        out: 0,
        terms: [
          [0.75, 0],
          [2, 1],
        ],
      },
    ])
  })
  test('of nothing but zeros is zero', () => {
    const program = recordFormula((x, { combine }) => combine([[0, x]]))
    expect(program.instructions).toEqual([{ op: 'combine', out: 0, terms: [[0, 0]] }])
  })
})

describe('a rescaled guidance', () => {
  test('mixes the guided output with itself at the deviation of the conditional one', () => {
    const program = recordFormula((x, { denoise }) => denoise(x, schedule.level(50)), {
      ...guidedBy({ kind: 'classifier-free', scale: 4, rescale: 0.7 }),
    })
    expect(operations(program)).toEqual(['evaluate', 'evaluate', 'combine', 'ratio', 'multiply', 'combine'])
    expect(program.instructions[3]).toMatchObject({ measure: 'deviation', factor: 0.7, power: 1 })
  })
})

describe('a learned variance', () => {
  test('is a second output of the evaluation, and a deviation of each element', () => {
    const program = recordSampler(parseSampler('ddpm'), { ...context, variance: 'learned-range', learnsVariance: true })
    const evaluations = program.instructions.filter((i) => i.op === 'evaluate')
    expect(evaluations.map((i) => i.op === 'evaluate' && i.variance !== undefined)).toEqual([
      true,
      true,
      true,
      true,
      false,
    ])
    expect(operations(program).filter((op) => op === 'exponential')).toHaveLength(4)
  })
  test('of a network that has none is refused', () => {
    expect(() => recordSampler(parseSampler({ kind: 'ddpm', variance: 'learned' }), context)).toThrow(
      'The sampler\'s `variance` is "learned", but the network has none: `diffusion.variance` is "fixed-large".',
    )
  })
})

describe('where x begins', () => {
  const last = (change: Partial<RecordContext>): Program => recordFormula((x) => x, change)
  test('as an image that is mixed with noise at the first level', () => {
    const level = context.levels[0] ?? schedule.clean
    const program = last({ start: 'image' })
    expect(Object.keys(program.inputs)).toEqual(['x', 'image'])
    expect(program.instructions).toMatchObject([
      {
        op: 'combine',
        terms: [
          [level.alpha, 1],
          [level.sigma, 0],
        ],
      },
    ])
  })
  test('as noise of the deviation that the schedule starts with', () => {
    const exploding = { ...schedule, prior: () => 50 }
    expect(last({ start: 'noise' }).instructions).toEqual([])
    expect(last({ start: 'noise', schedule: exploding }).instructions).toMatchObject([{ terms: [[50, 0]] }])
  })
})

test('a guide moves the clean image by scale · sigma² / alpha · gradient', () => {
  const level = schedule.level(50)
  const program = recordFormula((x, { denoise }) => denoise(x, level), { guides: [{ scale: 3 }] })
  expect(operations(program)).toEqual(['evaluate', 'guide', 'combine'])
  const sum = program.instructions.at(-1)
  const coefficients = sum?.op === 'combine' ? sum.terms.map(([coefficient]) => coefficient) : []
  expect(relativeError(coefficients[2] ?? 0, (3 * level.sigma ** 2) / level.alpha)).toBeLessThan(1e-15)
})

test('what is known of an image is put back after every step, noisy as the step ends', () => {
  const program = recordSampler(parseSampler('ddim'), { ...context, inpaint: true })
  expect(Object.keys(program.inputs)).toEqual(['x', 'known', 'mask'])
  expect(operations(program).filter((op) => op === 'blend')).toHaveLength(5)
  // The last level is clean: what is known stays as it is.
  expect(program.instructions.flatMap((i) => (i.op === 'noise' ? [i.step] : []))).toEqual([1, 2, 3, 4])
})

test('inputs by name and blends are recorded: inpainting in three lines', () => {
  const program = recordFormula((x, { blend, input, emit }) => {
    const mixed = blend(input('mask'), x, input('known'))
    emit(mixed, mixed)
    return mixed
  })
  expect(program.inputs).toEqual({ x: 0, mask: 1, known: 2 })
  expect(program.instructions).toEqual([
    { op: 'blend', out: 0, mask: 1, a: 0, b: 2 },
    { op: 'emit', x: 0, clean: 0, step: 1 },
  ])
})

test('a value that is never used gives its register back at once', () => {
  const program = recordFormula((x, { noise, combine }) => {
    noise(0)
    noise(1)
    return combine([
      [2, x],
      [1, noise(2)],
    ])
  })
  expect(program.registers).toBe(2)
})

describe('refusals', () => {
  test('a value of another recording', () => {
    let stray: Value | undefined
    recordFormula((x) => {
      stray = x
      return x
    })
    expect(() =>
      recordFormula((x, { combine }) =>
        combine([
          [1, x],
          [1, stray ?? x],
        ]),
      ),
    ).toThrow('a value that this recording did not make')
  })
  test('a coefficient that is not finite', () => {
    expect(() => recordFormula((x, { combine }) => combine([[Number.NaN, x]]))).toThrow(
      'Expected a finite number for `coefficient`',
    )
  })
  test('levels that do not end clean, and denoising the clean level', () => {
    expect(() => recordFormula((x) => x, { levels: [schedule.level(3), schedule.level(1)] })).toThrow(
      'levels that end with the clean one',
    )
    expect(() => recordFormula((x, { denoise }) => denoise(x, schedule.level(-1)))).toThrow(
      'There is nothing to denoise',
    )
  })
})
