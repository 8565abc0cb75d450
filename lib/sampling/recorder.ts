/**
 * Runs a sampler's formula once, writing down what it asks for: the result is a {@link Program}. Here the denoiser's numbers
 * (prediction, guidance, clip) become instructions, so neither formulas nor executors know of them.
 */
import type * as z from 'zod'
import type { ClipSettings } from '../diffusion/diffusion-options.js'
import type { Guidance, GuidanceCondition, GuidanceEvaluation } from '../diffusion/guidance/guidance.js'
import {
  isLearned,
  learnedLogVariances,
  staysAt,
  stepPosterior,
  type VarianceKind,
  variances,
} from '../diffusion/posterior.js'
import type { Prediction } from '../diffusion/prediction.js'
import type { Level, Schedule } from '../diffusion/schedule.js'
import type { Labeller } from '../diffusion/time-label.js'
import { DpmError, expected } from '../errors.js'
import type { KindSchema } from '../options/kind-schema.js'
import type { NoisePurpose } from '../random/purposes.js'
import type { RecordedSampler, SamplerVerbs, Terms, Value } from './define-sampler.js'
import { type Instruction, noisePurposes, type Program, type Register } from './program.js'
import { reuseRegisters } from './registers.js'
import { validateProgram } from './validate-program.js'

/**
 * Where x at the first level comes from. `noise`: the input `x` is standard normals, scaled as the schedule starts.
 * `image`: the input `image` is mixed with the normals in `x`, so that a run can begin at any level (SDEdit, Meng et al.
 * 2021, arXiv 2108.01073). `given`: the input `x` is x itself.
 */
export const starts = ['noise', 'image', 'given'] as const
export type Start = (typeof starts)[number]

/** What a recording needs besides the sampler's own settings. */
export interface RecordContext {
  readonly schedule: Schedule
  /** From the noisiest level to the clean one, or to the schedule's least noise: see `selectLevels`. */
  readonly levels: readonly Level[]
  /** What x at the last level is multiplied by at the end of the run; 1 when absent. */
  readonly finalScale?: number | undefined
  readonly prediction: Prediction
  /** The number by which the network is told a level's time. */
  readonly label: Labeller
  readonly clip: ClipSettings
  readonly variance: VarianceKind
  /** Whether the network has outputs for a learned variance. */
  readonly learnsVariance: boolean
  /** The condition of the run: null when it has no classes. */
  readonly condition: GuidanceCondition
  readonly guidance: Guidance
  /** Scale of each guide: its gradient g moves the clean image by scale · sigma² / alpha · g. */
  readonly guides: readonly { readonly scale: number }[]
  readonly start: Start
  /**
   * Whether part of an image is known: inputs `known` and `mask`, which is 1 where x is to be drawn. After every step the
   * known part is put back at that step's level of noise (Song et al. 2021, arXiv 2011.13456, §5).
   */
  readonly inpaint: boolean
}

/**
 * The program of a run.
 * @throws DpmError DPM_INVALID_ARGUMENT when the levels do not go down to the clean one or the schedule's least noise, or a coefficient
 *   is not finite.
 */
export function record<Schema extends KindSchema>(
  sampler: RecordedSampler<Schema>,
  settings: z.output<Schema>,
  context: RecordContext,
): Program {
  return reuseRegisters(recordValues(sampler, settings, context))
}

/** The same with one register for every value: what `reuseRegisters` starts from. */
export function recordValues<Schema extends KindSchema>(
  sampler: RecordedSampler<Schema>,
  settings: z.output<Schema>,
  context: RecordContext,
): Program {
  const last = context.levels.at(-1)
  if (context.levels.length < 2 || !last || !isEnd(last, context.schedule)) {
    throw expected(
      "levels that end with the clean one (sigma 0) or the schedule's least noise",
      'levels',
      context.levels.map(({ time }) => time),
    )
  }
  const recording = new Recording(context)
  const output = sampler.formula(recording.start(), recording.verbs(settings))
  const program = recording.program(sampler.name, output)
  validateProgram(program)
  return program
}

function isEnd(level: Level, schedule: Schedule): boolean {
  if (level.sigma === 0) return true
  const { alpha, sigma } = schedule.level(schedule.cleanest)
  return level.alpha === alpha && level.sigma === sigma
}

class Recording {
  readonly #context: RecordContext
  readonly #instructions: Instruction[] = []
  readonly #registers = new Map<Value, Register>()
  readonly #inputs = new Map<string, Value>()
  #steps = 0

  constructor(context: RecordContext) {
    this.#context = context
    context.guides.forEach(({ scale }, guide) => {
      if (!Number.isFinite(scale))
        throw expected('a finite number', `guides.${guide}.scale`, scale, '', 'DPM_INVALID_OPTION')
    })
  }

  /** x at the first level. */
  start(): Value {
    const { levels, schedule } = this.#context
    const [level] = levels
    const x = this.input('x')
    if (!level) return x
    const made = {
      noise: () => this.#combine([[schedule.prior(level), x]]),
      image: () =>
        this.#combine([
          [level.alpha, this.input('image')],
          [level.sigma, x],
        ]),
      given: () => x,
    } satisfies Record<Start, () => Value>
    return made[this.#context.start]()
  }

  verbs<Settings>(options: Settings): SamplerVerbs<Settings> {
    const { levels, variance, schedule, start, inpaint } = this.#context
    return {
      start,
      inpaint,
      options,
      levels,
      schedule,
      variance,
      denoise: (x, level) => this.#clean(x, level, this.#outputs(x, level, false)).clean,
      denoiseUnclipped: (x, level) => this.#clean(x, level, this.#outputs(x, level, false)),
      denoiseAncestral: (x, from, to, { step, variance: kind = variance }) => {
        this.#requireVariance(kind)
        const outputs = this.#outputs(x, from, isLearned(kind) && to.sigma > 0)
        return {
          clean: this.#clean(x, from, outputs).clean,
          noise: this.#ancestralNoise(outputs, from, to, step, kind),
        }
      },
      combine: (terms) => this.#combine(terms),
      noise: (step, purpose = 'step') => this.#noise(step, purpose),
      blend: (mask, a, b) => this.#blend(mask, a, b),
      clip: (x, low, high) => this.#clip(x, low, high),
      multiply: (a, b) => this.#multiply(a, b),
      exponential: (x, scale, shift) => {
        const register = this.#at(x)
        return this.#value((out) => ({ op: 'exponential', out, x: register, scale, shift }))
      },
      ratio: (a, b, numbers) => {
        const registers = { a: this.#at(a), b: this.#at(b) }
        return this.#value((out) => ({ op: 'ratio', out, ...registers, ...numbers }))
      },
      input: (name) => this.input(name),
      emit: (x, clean) => {
        this.#steps += 1
        const kept = this.#context.inpaint ? this.#withKnown(x) : x
        const isLast = this.#steps === levels.length - 1
        const edited = isLast ? this.#combine([[this.#context.finalScale ?? 1, kept]]) : kept
        this.#instructions.push({ op: 'emit', x: this.#at(edited), clean: this.#at(clean), step: this.#steps })
        return edited
      },
    }
  }

  input(name: string): Value {
    const known = this.#inputs.get(name)
    if (known) return known
    const input = this.#newRegister()
    this.#inputs.set(name, input)
    return input
  }

  program(name: string, output: Value): Program {
    return {
      version: 1,
      name,
      registers: this.#registers.size,
      inputs: Object.fromEntries([...this.#inputs].map(([input, held]) => [input, this.#at(held)])),
      instructions: this.#instructions,
      output: this.#at(output),
      steps: this.#steps,
    }
  }

  #requireVariance(kind: VarianceKind): void {
    const { learnsVariance, variance } = this.#context
    if (!isLearned(kind) || learnsVariance) return
    throw new DpmError(
      'DPM_INVALID_OPTION',
      `The sampler's \`variance\` is "${kind}", but the network has none: \`diffusion.variance\` is "${variance}". Use the variance "fixed-small" or "fixed-large", or train with a learned one.`,
    )
  }

  /** What the network says of x at a level: F with its coefficients, and v where a learned variance is asked for. */
  #outputs(x: Value, level: Level, learned: boolean): Outputs {
    const { prediction, guidance, condition, label } = this.#context
    if (!(level.sigma > 0))
      throw expected('a level with noise', 'level', level, 'There is nothing to denoise in a clean image.')
    const { cIn } = prediction.numbers(level)
    const cNoise = label(level)
    const { terms, rescale } = guidance(level, condition)
    let variance: Value | undefined
    const evaluate = (evaluation: GuidanceEvaluation, first: boolean): Value => {
      const register = this.#at(x)
      const out = this.#newRegister()
      const split = learned && first ? this.#newRegister() : undefined
      this.#instructions.push({
        op: 'evaluate',
        out: this.#at(out),
        x: register,
        ...evaluation,
        cIn,
        cNoise,
        ...(split && { variance: this.#at(split) }),
      })
      if (split) variance = split
      return out
    }
    const outputs = terms.map(
      ([coefficient, evaluation], index) => [coefficient, evaluate(evaluation, index === 0)] as const,
    )
    const [plain] = outputs
    if (!(rescale > 0) || !plain) return { terms: outputs, variance }
    const guided = this.#combine(outputs)
    const registers = { a: this.#at(plain[1]), b: this.#at(guided) }
    const size = { measure: 'deviation', factor: rescale, power: 1 } as const
    const scale = this.#value((out) => ({ op: 'ratio', out, ...registers, ...size }))
    return {
      terms: [
        [1, this.#multiply(scale, guided)],
        [1 - rescale, guided],
      ],
      variance,
    }
  }

  /** clean = cSkip · x + cOut · F, moved by the guides; then the clip. */
  #clean(x: Value, level: Level, { terms }: Outputs): { readonly clean: Value; readonly unclipped: Value } {
    const { prediction, guides, clip } = this.#context
    const { cSkip, cOut } = prediction.numbers(level)
    const pulls = guides.map(({ scale }, guide) => {
      const { time, alpha, sigma } = level
      const register = this.#at(x)
      const gradient = this.#value((out) => ({ op: 'guide', out, x: register, guide, time, alpha, sigma }))
      return [(scale * sigma * sigma) / alpha, gradient] as const
    })
    const outputs = terms.map(([coefficient, output]) => [cOut * coefficient, output] as const)
    const unclipped = this.#combine([[cSkip, x], ...outputs, ...pulls])
    const clean = clips[clip.kind](unclipped, clip as never, {
      clip: (value, low, high) => this.#clip(value, low, high),
      threshold: (value, numbers) => {
        const register = this.#at(value)
        return this.#value((out) => ({ op: 'threshold', out, x: register, ...numbers }))
      },
    })
    return { clean, unclipped }
  }

  #ancestralNoise({ variance }: Outputs, from: Level, to: Level, step: number, kind: VarianceKind): Terms {
    if (!(to.sigma > 0) || staysAt(from, to)) return []
    const q = stepPosterior(from, to)
    if (!isLearned(kind)) return [[Math.sqrt(variances[kind](q)), this.#noise(step, 'step')]]
    if (!variance) throw new DpmError('DPM_INTERNAL', 'A learned variance was not evaluated.')
    const { middle, halfRange } = learnedLogVariances[kind](q)
    const register = this.#at(variance)
    // Half of the logarithm: a standard deviation.
    const numbers = { scale: halfRange / 2, shift: middle / 2 }
    const deviation = this.#value((out) => ({ op: 'exponential', out, x: register, ...numbers }))
    return [[1, this.#multiply(deviation, this.#noise(step, 'step'))]]
  }

  /** x with the known part put back, at the level that this step ends at. */
  #withKnown(x: Value): Value {
    const level = this.#context.levels[this.#steps]
    const known = this.input('known')
    if (!level) return x
    const noisy = this.#combine(
      level.sigma > 0
        ? [
            [level.alpha, known],
            [level.sigma, this.#noise(this.#steps, 'forward')],
          ]
        : [[level.alpha, known]],
    )
    return this.#blend(this.input('mask'), x, noisy)
  }

  /** Leaves out what counts nothing, adds up what names a value twice, and gives a value that is only itself as it is. */
  #combine(terms: readonly (readonly [number, Value])[]): Value {
    const sums = new Map<Value, number>()
    for (const [coefficient, held] of terms) {
      if (!Number.isFinite(coefficient)) throw expected('a finite number', 'coefficient', coefficient)
      if (coefficient !== 0) sums.set(held, (sums.get(held) ?? 0) + coefficient)
    }
    const [first, ...others] = [...sums]
    if (first && others.length === 0 && first[1] === 1) return first[0]
    const fallback = terms[0]
    if (!first && !fallback) throw expected('at least one term', 'combine', terms)
    const kept = first ? [first, ...others] : fallback ? [[fallback[1], 0] as const] : []
    const encoded = kept.map(([held, coefficient]) => [coefficient, this.#at(held)] as const)
    return this.#value((out) => ({ op: 'combine', out, terms: encoded }))
  }

  #noise(step: number, purpose: NoisePurpose): Value {
    return this.#value((out) => ({ op: 'noise', out, step, purpose: noisePurposes[purpose] }))
  }

  #blend(mask: Value, a: Value, b: Value): Value {
    const registers = { mask: this.#at(mask), a: this.#at(a), b: this.#at(b) }
    return this.#value((out) => ({ op: 'blend', out, ...registers }))
  }

  #multiply(a: Value, b: Value): Value {
    const registers = { a: this.#at(a), b: this.#at(b) }
    return this.#value((out) => ({ op: 'multiply', out, ...registers }))
  }

  #clip(x: Value, low: number, high: number): Value {
    const register = this.#at(x)
    return this.#value((out) => ({ op: 'clip', out, x: register, low, high }))
  }

  #value(instruction: (out: Register) => Instruction): Value {
    const out = this.#registers.size
    this.#instructions.push(instruction(out))
    return this.#newRegister()
  }

  #newRegister(): Value {
    const made = Object.freeze({}) as Value
    this.#registers.set(made, this.#registers.size)
    return made
  }

  #at(held: Value): Register {
    const register = this.#registers.get(held)
    if (register === undefined) {
      throw new DpmError(
        'DPM_INVALID_ARGUMENT',
        'A sampler used a value that this recording did not make. Use the values that its verbs return.',
      )
    }
    return register
  }
}

/** The network's output at a level. */
interface Outputs {
  readonly terms: Terms
  /** v of a learned variance, where it was asked for. */
  readonly variance: Value | undefined
}

interface ClipVerbs {
  clip(x: Value, low: number, high: number): Value
  threshold(x: Value, numbers: { quantile: number; low: number; high: number }): Value
}

type ClipOf<Kind extends ClipSettings['kind']> = Extract<ClipSettings, { kind: Kind }>

/** What each kind of clip adds after the clean image. */
const clips: { [Kind in ClipSettings['kind']]: (x: Value, settings: ClipOf<Kind>, verbs: ClipVerbs) => Value } = {
  none: (x) => x,
  range: (x, { low, high }, verbs) => verbs.clip(x, low, high),
  dynamic: (x, { quantile, low, high }, verbs) => verbs.threshold(x, { quantile, low, high }),
}
