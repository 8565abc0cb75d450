import { describe, expect, test } from 'vitest'
import * as z from 'zod'
import { createProcess, parseDiffusion } from '../../lib/diffusion/diffusion-options.js'
import { defineSampler, type SamplerVerbs, type Value } from '../../lib/sampling/define-sampler.js'
import { selectLevels } from '../../lib/sampling/levels.js'
import type { Program } from '../../lib/sampling/program.js'
import { type RecordContext, record } from '../../lib/sampling/recorder.js'
import { parseSampler, recordSampler } from '../../lib/sampling/samplers.js'
import { relativeError } from './closeness.js'

const { schedule, prediction, label } = createProcess(
  parseDiffusion({ schedule: { kind: 'linear', steps: 100 }, timeLabel: 'fraction' }),
)
const context: RecordContext = {
  levels: selectLevels(schedule, { steps: 5 }),
  prediction,
  label,
  clip: { kind: 'none' },
  variance: 'fixed-large',
  guidance: null,
}
type Formula = (x: Value, verbs: SamplerVerbs<{ kind: 'custom' }>) => Value
const schema = z.strictObject({ kind: z.literal('custom') })
const recordFormula = (formula: Formula, change: Partial<RecordContext> = {}): Program =>
  record(defineSampler('custom', schema, formula), { kind: 'custom' }, { ...context, ...change })
const operations = (program: Program): string[] => program.instructions.map(({ op }) => op)

describe('recorded samplers', () => {
  test('DDIM needs two registers, DDPM three, guidance one more', () => {
    expect(recordSampler(parseSampler('ddim'), context).registers).toBe(2)
    expect(recordSampler(parseSampler('ddpm'), context).registers).toBe(3)
    expect(recordSampler(parseSampler('ddim'), { ...context, guidance: { scale: 2 } }).registers).toBe(3)
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
  const evaluations = (guidance: RecordContext['guidance']): string[] =>
    recordFormula((x, { denoise, levels }) => denoise(x, levels[0] ?? schedule.level(0)), {
      guidance,
    }).instructions.flatMap((i) => (i.op === 'evaluate' ? [i.condition] : []))
  test('asks the network once where one answer is enough', () => {
    expect(evaluations(null)).toEqual(['null'])
    expect(evaluations({ scale: 1 })).toEqual(['given'])
    expect(evaluations({ scale: 0 })).toEqual(['null'])
    expect(evaluations({ scale: 4 })).toEqual(['given', 'null'])
  })
  test('and prediction become one sum: cSkip x + cOut (scale F_given + (1 - scale) F_null)', () => {
    const level = schedule.level(50)
    const program = recordFormula((x, { denoise }) => denoise(x, level), { guidance: { scale: 4 } })
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
