/** How many buffers a program needs: values whose last use is past give their register to later ones. */
import { DpmError } from '../errors.js'
import type { Instruction, Program, Register } from './program.js'

/**
 * Operations that may write over what they read, because each element depends on the same element only. A network and a
 * threshold read everything before they write anything.
 */
const writesInPlace: Readonly<Record<Instruction['op'], boolean>> = {
  evaluate: false,
  combine: true,
  noise: false,
  clip: true,
  threshold: false,
  blend: true,
  multiply: true,
  exponential: true,
  ratio: false,
  guide: false,
  emit: false,
}

/** The instruction with other registers: first every register that it reads, in order, then those that it writes. */
export function mapRegisters(
  i: Instruction,
  read: (register: Register) => Register,
  write: (register: Register) => Register,
): Instruction {
  switch (i.op) {
    case 'evaluate': {
      const x = read(i.x)
      const out = write(i.out)
      return i.variance === undefined ? { ...i, x, out } : { ...i, x, out, variance: write(i.variance) }
    }
    case 'clip':
    case 'exponential':
    case 'guide':
    case 'threshold': {
      const x = read(i.x)
      return { ...i, x, out: write(i.out) }
    }
    case 'combine': {
      const terms = i.terms.map(([coefficient, register]) => [coefficient, read(register)] as const)
      return { ...i, terms, out: write(i.out) }
    }
    case 'multiply':
    case 'ratio': {
      const [a, b] = [read(i.a), read(i.b)]
      return { ...i, a, b, out: write(i.out) }
    }
    case 'noise':
      return { ...i, out: write(i.out) }
    case 'blend': {
      const [mask, a, b] = [read(i.mask), read(i.a), read(i.b)]
      return { ...i, mask, a, b, out: write(i.out) }
    }
    case 'emit':
      return { ...i, x: read(i.x), clean: read(i.clean) }
    default:
      throw new DpmError('DPM_INTERNAL', `No registers known of instruction ${JSON.stringify(i satisfies never)}.`)
  }
}

/** The registers that an instruction reads. */
export function registersRead(instruction: Instruction): readonly Register[] {
  const reads: Register[] = []
  mapRegisters(
    instruction,
    (register) => {
      reads.push(register)
      return register
    },
    (register) => register,
  )
  return reads
}

/** Whether the register that the instruction writes must differ from those that it reads. */
export function needsOwnOutput(instruction: Instruction): boolean {
  return !writesInPlace[instruction.op]
}

/** The same program with a register of its own for every value, even where a register was written twice. */
export function separateRegisters(program: Program): Program {
  const valueIn = new Map<Register, Register>()
  let values = 0
  const define = (register: Register): Register => {
    valueIn.set(register, values)
    return values++
  }
  const inputs = Object.fromEntries(Object.entries(program.inputs).map(([name, register]) => [name, define(register)]))
  const held = (register: Register): Register => {
    const value = valueIn.get(register)
    if (value === undefined)
      throw new DpmError('DPM_INVALID_ARGUMENT', `Register ${register} is read before it is written.`)
    return value
  }
  const instructions = program.instructions.map((instruction) => mapRegisters(instruction, held, define))
  return { ...program, inputs, instructions, registers: values, output: held(program.output) }
}

/** The same program with few registers, by a linear scan: each value takes the lowest register that is free. */
export function reuseRegisters(program: Program): Program {
  const { inputs, instructions, output } = separateRegisters(program)
  const lastUses = new Map<Register, number>()
  instructions.forEach((instruction, index) => {
    for (const value of registersRead(instruction)) lastUses.set(value, index)
  })
  lastUses.set(output, Number.POSITIVE_INFINITY)

  const free: Register[] = []
  const places = new Map<Register, Register>()
  let registers = 0
  const take = (value: Register): Register => {
    const place = free.length > 0 ? free.splice(free.indexOf(Math.min(...free)), 1)[0] : undefined
    const taken = place ?? registers++
    places.set(value, taken)
    return taken
  }
  const placeOf = (value: Register): Register => places.get(value) ?? 0
  const release = (value: Register): void => {
    free.push(placeOf(value))
  }
  const releaseAll = (values: Set<Register>): void => {
    values.forEach(release)
    values.clear()
  }

  const placedInputs = Object.fromEntries(Object.entries(inputs).map(([name, value]) => [name, take(value)]))
  for (const value of Object.values(inputs)) if (!lastUses.has(value)) release(value)
  const unread: Register[] = []
  const placed = instructions.map((instruction, index) => {
    const ending = new Set(registersRead(instruction).filter((value) => lastUses.get(value) === index))
    const inPlace = !needsOwnOutput(instruction)
    const mapped = mapRegisters(instruction, placeOf, (value) => {
      if (inPlace) releaseAll(ending)
      if (!lastUses.has(value)) unread.push(value)
      return take(value)
    })
    // Only now: what an instruction reads, and all that it writes, are different places.
    releaseAll(ending)
    unread.splice(0).forEach(release)
    return mapped
  })
  return { ...program, inputs: placedInputs, instructions: placed, registers, output: placeOf(output) }
}
