/** A program as text: to print, store and compare. */
import * as z from 'zod'
import { DpmError, expected } from '../errors.js'
import { parseJson } from '../files/parse-json.js'
import { measures, type Program } from './program.js'
import { validateProgram } from './validate-program.js'

/** A sampler of a thousand steps records some 1 MB. */
const maximumProgramLength = 256_000_000

const register = z.int()
const instructionSchema = z.discriminatedUnion('op', [
  z.strictObject({
    op: z.literal('evaluate'),
    out: register,
    x: register,
    network: z.int(),
    condition: z.enum(['given', 'null']),
    cIn: z.number(),
    cNoise: z.number(),
    variance: register.optional(),
  }),
  z.strictObject({ op: z.literal('combine'), out: register, terms: z.array(z.tuple([z.number(), register])) }),
  z.strictObject({ op: z.literal('noise'), out: register, step: z.int(), purpose: z.int() }),
  z.strictObject({ op: z.literal('clip'), out: register, x: register, low: z.number(), high: z.number() }),
  z.strictObject({
    op: z.literal('threshold'),
    out: register,
    x: register,
    quantile: z.number(),
    low: z.number(),
    high: z.number(),
  }),
  z.strictObject({ op: z.literal('blend'), out: register, mask: register, a: register, b: register }),
  z.strictObject({ op: z.literal('multiply'), out: register, a: register, b: register }),
  z.strictObject({ op: z.literal('exponential'), out: register, x: register, scale: z.number(), shift: z.number() }),
  z.strictObject({
    op: z.literal('ratio'),
    out: register,
    a: register,
    b: register,
    measure: z.enum(measures),
    factor: z.number(),
    power: z.number(),
  }),
  z.strictObject({
    op: z.literal('guide'),
    out: register,
    x: register,
    guide: z.int(),
    time: z.number(),
    alpha: z.number(),
    sigma: z.number(),
  }),
  z.strictObject({ op: z.literal('emit'), x: register, clean: register, step: z.int() }),
])

const programSchema = z.strictObject({
  version: z.literal(1),
  name: z.string(),
  registers: z.int(),
  inputs: z.record(z.string(), register),
  instructions: z.array(instructionSchema),
  output: register,
  steps: z.int(),
})

export function programToJson(program: Program): string {
  validateProgram(program)
  return JSON.stringify(program)
}

/** @throws DpmError DPM_INVALID_ARGUMENT when the text is not a program, or not one that can run. */
export function programFromJson(text: string): Program {
  if (typeof text !== 'string') throw expected('a sampling program as JSON', 'text', text)
  const parsed = parseJson(text, {
    name: 'The sampling program',
    code: 'DPM_INVALID_ARGUMENT',
    maximumLength: maximumProgramLength,
  })
  const result = programSchema.safeParse(parsed)
  if (!result.success) {
    const issue = result.error.issues[0]
    throw new DpmError(
      'DPM_INVALID_ARGUMENT',
      `The text is not a sampling program: ${issue?.message} at \`${issue?.path.join('.')}\`.`,
    )
  }
  // What may be absent is absent in the text too, never undefined.
  const program = result.data as Program
  validateProgram(program)
  return program
}
