/** A program for people: one line per instruction. */
import { noisePurposes } from '../random/purposes.js'
import type { Instruction, Program, Register } from './program.js'
import { validateProgram } from './validate-program.js'

/** For example `  1  r1 = 1.0001 r0 - 0.01 r1`. Numbers are rounded to six digits; `programToJson` keeps them all. */
export function explainProgram(program: Program): string {
  validateProgram(program)
  const evaluations = program.instructions.filter(({ op }) => op === 'evaluate').length
  const width = String(program.instructions.length).length
  return [
    `${program.name}: ${counted(program.steps, 'step')}, ${counted(evaluations, 'evaluation')}, ${counted(program.registers, 'register')}`,
    `inputs: ${Object.entries(program.inputs)
      .map(([name, at]) => `${name} in ${r(at)}`)
      .join(', ')}`,
    ...program.instructions.map(
      (instruction, index) => `${String(index).padStart(width)}  ${lines[instruction.op](instruction as never)}`,
    ),
    `output: ${r(program.output)}`,
  ].join('\n')
}

const lines: { [Op in Instruction['op']]: (instruction: Extract<Instruction, { op: Op }>) => string } = {
  evaluate: (i) => {
    const input = i.cIn === 1 ? r(i.x) : `${n(i.cIn)} ${r(i.x)}`
    const outputs = i.variance === undefined ? r(i.out) : `${r(i.out)}, ${r(i.variance)}`
    return `${outputs} = network ${i.network} (${input}, label ${n(i.cNoise)}, condition ${i.condition})`
  },
  combine: (i) => `${r(i.out)} = ${i.terms.map(([coefficient, at], k) => term(coefficient, at, k === 0)).join(' ')}`,
  noise: (i) => `${r(i.out)} = noise (step ${i.step}, purpose ${purposeName(i.purpose)})`,
  clip: (i) => `${r(i.out)} = clip ${r(i.x)} to [${n(i.low)}, ${n(i.high)}]`,
  threshold: (i) => `${r(i.out)} = threshold ${r(i.x)} at quantile ${n(i.quantile)} in [${n(i.low)}, ${n(i.high)}]`,
  blend: (i) => `${r(i.out)} = ${r(i.mask)} ? ${r(i.a)} : ${r(i.b)}`,
  multiply: (i) => `${r(i.out)} = ${r(i.a)} · ${r(i.b)}`,
  exponential: (i) => `${r(i.out)} = exp(${n(i.scale)} ${r(i.x)} ${i.shift < 0 ? '-' : '+'} ${n(Math.abs(i.shift))})`,
  ratio: (i) =>
    `${r(i.out)} = ${n(i.factor)} (${i.measure} ${r(i.a)} / ${i.measure} ${r(i.b)})${i.power === 1 ? '' : ` ^ ${n(i.power)}`}, per sample`,
  guide: (i) => `${r(i.out)} = gradient of guide ${i.guide} at ${r(i.x)} (time ${n(i.time)})`,
  emit: (i) => `emit step ${i.step}: x ${r(i.x)}, clean ${r(i.clean)}`,
}

function term(coefficient: number, at: Register, first: boolean): string {
  if (first) return coefficient === 1 ? r(at) : `${n(coefficient)} ${r(at)}`
  return `${coefficient < 0 ? '-' : '+'} ${n(Math.abs(coefficient))} ${r(at)}`
}

function purposeName(purpose: number): string {
  return Object.entries(noisePurposes).find(([, number]) => number === purpose)?.[0] ?? String(purpose)
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}

function r(register: Register): string {
  return `r${register}`
}

function n(number: number): string {
  return String(Number(number.toPrecision(6)))
}
