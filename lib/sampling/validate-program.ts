/** Whether a program can run: every register exists and holds something when it is read, every number is finite. */
import { DpmError, expected, show } from '../errors.js'
import { noisePurposes } from '../random/purposes.js'
import { type Instruction, measures, type Program, type Register } from './program.js'
import { mapRegisters, needsOwnOutput, registersRead } from './registers.js'

const purposes: readonly number[] = Object.values(noisePurposes)

/** As many as native code takes (`native/engine/program.cpp`). */
const maximumRegisters = 2 ** 20

/** @throws DpmError DPM_INVALID_ARGUMENT naming the instruction, and what is wrong with it. */
export function validateProgram(program: Program): void {
  if (typeof program !== 'object' || program === null) throw expected('a sampling program', 'program', program)
  if (program.version !== 1) throw fault('program', `has version ${show(program.version)}, not 1`)
  if (!Number.isInteger(program.registers) || program.registers < 1 || program.registers > maximumRegisters) {
    throw fault('program', `has ${show(program.registers)} registers, not a whole number from 1 to ${maximumRegisters}`)
  }
  if (typeof program.inputs !== 'object' || program.inputs === null) throw fault('program', 'has no `inputs`')
  const isList: boolean = Array.isArray(program.instructions)
  if (!isList) throw fault('program', 'has no list of instructions')
  const defined = new Set<Register>()
  const mustExist = (register: Register, place: string): Register => {
    if (!Number.isInteger(register) || register < 0 || register >= program.registers) {
      throw fault(place, `names register ${show(register)} of 0 … ${program.registers - 1}`)
    }
    return register
  }
  for (const [name, register] of Object.entries(program.inputs)) {
    const place = `input ${show(name)}`
    if (defined.has(mustExist(register, place))) throw fault(place, `shares register ${register} with another input`)
    defined.add(register)
  }
  let emits = 0
  program.instructions.forEach((instruction, index) => {
    if (!isInstruction(instruction)) {
      throw fault(`instruction ${index}`, `is ${show(instruction)}, which is no operation`)
    }
    const place = `instruction ${index} (${instruction.op})`
    const complaint = checks[instruction.op](instruction as never)
    if (complaint) throw fault(place, complaint)
    mapRegisters(
      instruction,
      (register) => {
        if (!defined.has(mustExist(register, place)))
          throw fault(place, `reads register ${register} before it is written`)
        return register
      },
      (register) => {
        mustExist(register, place)
        if (needsOwnOutput(instruction) && registersRead(instruction).includes(register)) {
          throw fault(place, `writes register ${register}, which it reads`)
        }
        return register
      },
    )
    if (instruction.op === 'emit') {
      emits += 1
      if (instruction.step !== emits) throw fault(place, `has step ${show(instruction.step)}, not ${emits}`)
    } else {
      defined.add(instruction.out)
      if (instruction.op === 'evaluate' && instruction.variance !== undefined) {
        if (instruction.variance === instruction.out) throw fault(place, `writes register ${instruction.out} twice`)
        defined.add(instruction.variance)
      }
    }
  })
  if (program.steps !== emits) throw fault('program', `has steps ${show(program.steps)} but ${emits} emit instructions`)
  if (!defined.has(mustExist(program.output, 'output')))
    throw fault('output', `register ${program.output} is never written`)
}

type OfOp<Op extends Instruction['op']> = Extract<Instruction, { op: Op }>

/** What is wrong with an instruction's numbers, if anything. */
const checks: { [Op in Instruction['op']]: (instruction: OfOp<Op>) => string | undefined } = {
  evaluate: (i) =>
    finite({ cIn: i.cIn, cNoise: i.cNoise }) ??
    whole('network', i.network) ??
    (i.condition === 'given' || i.condition === 'null'
      ? undefined
      : `has condition ${show(i.condition)}, not given or null`),
  combine: (i) =>
    i.terms.length === 0
      ? 'has no terms'
      : finite(Object.fromEntries(i.terms.map(([coefficient], k) => [`coefficient ${k}`, coefficient]))),
  noise: (i) =>
    whole('step', i.step) ??
    (purposes.includes(i.purpose) ? undefined : `has purpose ${show(i.purpose)}, which is none`),
  clip: (i) => finite({ low: i.low, high: i.high }) ?? (i.low <= i.high ? undefined : `clips to [${i.low}, ${i.high}]`),
  threshold: (i) =>
    finite({ quantile: i.quantile, low: i.low, high: i.high }) ??
    (i.quantile >= 0 && i.quantile <= 1 ? undefined : `has quantile ${i.quantile}, outside 0 … 1`) ??
    (i.low > 0 && i.low <= i.high ? undefined : `has thresholds ${i.low} to ${i.high}`),
  blend: () => undefined,
  multiply: () => undefined,
  exponential: (i) => finite({ scale: i.scale, shift: i.shift }),
  ratio: (i) =>
    finite({ factor: i.factor, power: i.power }) ??
    (measures.includes(i.measure) ? undefined : `has measure ${show(i.measure)}, not one of ${measures.join(', ')}`),
  guide: (i) => finite({ time: i.time, alpha: i.alpha, sigma: i.sigma }) ?? whole('guide', i.guide),
  emit: () => undefined,
}

function finite(numbers: Readonly<Record<string, number>>): string | undefined {
  const bad = Object.entries(numbers).find(([, number]) => !Number.isFinite(number))
  return bad && `has ${bad[0]} ${show(bad[1])}, which is not finite`
}

function whole(name: string, number: number): string | undefined {
  return Number.isInteger(number) && number >= 0 && number < 2 ** 32
    ? undefined
    : `has ${name} ${show(number)}, not a whole number`
}

function fault(place: string, complaint: string): DpmError {
  return new DpmError('DPM_INVALID_ARGUMENT', `The sampling program cannot run: ${place} ${complaint}.`)
}

function isInstruction(value: unknown): boolean {
  return (
    typeof value === 'object' && value !== null && Object.hasOwn(checks, String((value as Partial<Instruction>).op))
  )
}
