/**
 * Runs a sampler's formula once, writing down what it asks for: the result is a {@link Program}. Here the denoiser's numbers
 * (prediction, guidance, clip) become instructions, so neither formulas nor executors know of them.
 */
import type * as z from 'zod'
import type { ClipSettings } from '../diffusion/diffusion-options.js'
import { classifierFree, type GuidanceCondition } from '../diffusion/guidance/classifier-free.js'
import type { VarianceKind } from '../diffusion/posterior.js'
import type { Prediction } from '../diffusion/prediction.js'
import type { Level } from '../diffusion/schedule.js'
import type { Labeller } from '../diffusion/time-label.js'
import { DpmError, expected } from '../errors.js'
import type { KindSchema } from '../options/kind-schema.js'
import type { SamplerDefinition, SamplerVerbs, Value } from './define-sampler.js'
import { type Instruction, noisePurposes, type Program, type Register } from './program.js'
import { reuseRegisters } from './registers.js'
import { validateProgram } from './validate-program.js'

/** What a recording needs besides the sampler's own settings. */
export interface RecordContext {
  /** From the noisiest level to the clean one: see `selectLevels`. */
  readonly levels: readonly Level[]
  readonly prediction: Prediction
  /** The number by which the network is told a level's time. */
  readonly label: Labeller
  readonly clip: ClipSettings
  readonly variance: VarianceKind
  /** Classifier-free guidance, or null when the run has no classes: then the network is asked once, for the null class. */
  readonly guidance: { readonly scale: number } | null
}

/**
 * The program of a run.
 * @throws DpmError DPM_INVALID_ARGUMENT when the levels do not go down to the clean one, or a coefficient is not finite.
 */
export function record<Schema extends KindSchema>(
  sampler: SamplerDefinition<Schema>,
  settings: z.output<Schema>,
  context: RecordContext,
): Program {
  return reuseRegisters(recordValues(sampler, settings, context))
}

/** The same with one register for every value: what `reuseRegisters` starts from. */
export function recordValues<Schema extends KindSchema>(
  sampler: SamplerDefinition<Schema>,
  settings: z.output<Schema>,
  context: RecordContext,
): Program {
  const last = context.levels.at(-1)
  if (context.levels.length < 2 || last?.sigma !== 0) {
    throw expected(
      'levels that end with the clean one (sigma 0)',
      'levels',
      context.levels.map(({ time }) => time),
    )
  }
  const recording = new Recording(context)
  const output = sampler.formula(recording.input('x'), recording.verbs(settings))
  const program = recording.program(sampler.name, output)
  validateProgram(program)
  return program
}

class Recording {
  readonly #context: RecordContext
  readonly #instructions: Instruction[] = []
  readonly #registers = new Map<Value, Register>()
  readonly #inputs = new Map<string, Value>()
  #steps = 0

  constructor(context: RecordContext) {
    this.#context = context
  }

  verbs<Settings>(options: Settings): SamplerVerbs<Settings> {
    const { levels, variance } = this.#context
    return {
      options,
      levels,
      variance,
      denoise: (x, level) => this.#denoise(x, level),
      combine: (terms) => this.#combine(terms),
      noise: (step) => this.#value((out) => ({ op: 'noise', out, step, purpose: noisePurposes.step })),
      blend: (mask, a, b) => {
        const registers = { mask: this.#at(mask), a: this.#at(a), b: this.#at(b) }
        return this.#value((out) => ({ op: 'blend', out, ...registers }))
      },
      clip: (x, low, high) => this.#clip(x, low, high),
      input: (name) => this.input(name),
      emit: (x, clean) => {
        this.#steps += 1
        this.#instructions.push({ op: 'emit', x: this.#at(x), clean: this.#at(clean), step: this.#steps })
      },
    }
  }

  input(name: string): Value {
    const known = this.#inputs.get(name)
    if (known) return known
    const input = this.#newValue()
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

  /** clean = cSkip · x + cOut · F, where F is the sum of guided evaluations; then the clip. */
  #denoise(x: Value, level: Level): Value {
    const { prediction, guidance, label, clip } = this.#context
    if (!(level.sigma > 0))
      throw expected('a level with noise', 'level', level, 'There is nothing to denoise in a clean image.')
    const { cIn, cSkip, cOut } = prediction.numbers(level)
    const cNoise = label(level)
    const evaluate = (condition: GuidanceCondition): Value =>
      this.#value((out) => ({ op: 'evaluate', out, x: this.#at(x), network: 0, condition, cIn, cNoise }))
    const outputs = guidance ? classifierFree(guidance.scale) : ([[1, 'null']] as const)
    const terms = outputs.map(([coefficient, condition]) => [cOut * coefficient, evaluate(condition)] as const)
    return clips[clip.kind](this.#combine([[cSkip, x], ...terms]), clip as never, {
      clip: (value, low, high) => this.#clip(value, low, high),
      threshold: (value, numbers) => {
        const register = this.#at(value)
        return this.#value((out) => ({ op: 'threshold', out, x: register, ...numbers }))
      },
    })
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

  #clip(x: Value, low: number, high: number): Value {
    const register = this.#at(x)
    return this.#value((out) => ({ op: 'clip', out, x: register, low, high }))
  }

  #value(instruction: (out: Register) => Instruction): Value {
    const out = this.#registers.size
    this.#instructions.push(instruction(out))
    return this.#newValue()
  }

  #newValue(): Value {
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
