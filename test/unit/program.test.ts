import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { explainProgram } from '../../lib/sampling/explain-program.js'
import { encodeProgram, type Instruction, type Program } from '../../lib/sampling/program.js'
import { programFromJson, programToJson } from '../../lib/sampling/program-json.js'
import { separateRegisters } from '../../lib/sampling/registers.js'
import { validateProgram } from '../../lib/sampling/validate-program.js'
import { randomProgram } from './random-program.js'

const evaluate: Instruction = { op: 'evaluate', out: 1, x: 0, network: 0, condition: 'given', cIn: 1, cNoise: 999 }
const program: Program = {
  version: 1,
  name: 'example',
  registers: 3,
  inputs: { x: 0, mask: 2 },
  instructions: [
    evaluate,
    {
      op: 'combine',
      out: 1,
      terms: [
        [2.5, 0],
        [-1.25, 1],
      ],
    },
    { op: 'clip', out: 1, x: 1, low: -1, high: 1 },
    { op: 'threshold', out: 0, x: 1, quantile: 0.995, low: 1, high: 10 },
    { op: 'noise', out: 1, step: 4, purpose: 1 },
    { op: 'blend', out: 1, mask: 2, a: 0, b: 1 },
    { op: 'emit', x: 1, clean: 0, step: 1 },
  ],
  output: 1,
  steps: 1,
}
const changed = (index: number, change: object): Program => ({
  ...program,
  instructions: program.instructions.map((instruction, i) =>
    i === index ? ({ ...instruction, ...change } as Instruction) : instruction,
  ),
})

describe('validation', () => {
  test('accepts the example', () => {
    expect(() => validateProgram(program)).not.toThrow()
  })

  test.each([
    [changed(0, { x: 1, out: 0 }), 'instruction 0 (evaluate) reads register 1 before it is written'],
    [changed(0, { out: 0 }), 'instruction 0 (evaluate) writes register 0, which it reads'],
    [changed(0, { out: 3 }), 'instruction 0 (evaluate) names register 3 of 0 … 2'],
    [changed(0, { cNoise: Number.NaN }), 'instruction 0 (evaluate) has cNoise NaN, which is not finite'],
    [changed(0, { condition: 'none' }), 'instruction 0 (evaluate) has condition "none", not given or null'],
    [changed(0, { network: -1 }), 'instruction 0 (evaluate) has network -1, not a whole number'],
    [
      changed(1, { terms: [[Number.POSITIVE_INFINITY, 0]] }),
      'instruction 1 (combine) has coefficient 0 Infinity, which is not finite',
    ],
    [changed(1, { terms: [] }), 'instruction 1 (combine) has no terms'],
    [changed(1, { terms: [[1, 0.5]] }), 'instruction 1 (combine) names register 0.5 of 0 … 2'],
    [changed(2, { low: 2 }), 'instruction 2 (clip) clips to [2, 1]'],
    [changed(3, { out: 1 }), 'instruction 3 (threshold) writes register 1, which it reads'],
    [changed(3, { quantile: 2 }), 'instruction 3 (threshold) has quantile 2, outside 0 … 1'],
    [changed(3, { low: 0 }), 'instruction 3 (threshold) has thresholds 0 to 10'],
    [changed(4, { purpose: 99 }), 'instruction 4 (noise) has purpose 99, which is none'],
    [changed(4, { step: 1.5 }), 'instruction 4 (noise) has step 1.5, not a whole number'],
    [changed(6, { step: 2 }), 'instruction 6 (emit) has step 2, not 1'],
    [{ ...program, steps: 2 }, 'program has steps 2 but 1 emit instructions'],
    [{ ...program, inputs: { x: 0, mask: 0 } }, 'input "mask" shares register 0 with another input'],
    [{ ...program, registers: 4, output: 3 }, 'output register 3 is never written'],
    [{ ...program, registers: 0 }, 'program has 0 registers, not a whole number from 1 to 1048576'],
  ])('refuses %#: %s', (bad, message) => {
    expect(() => validateProgram(bad)).toThrow(
      expect.objectContaining({
        code: 'DPM_INVALID_ARGUMENT',
        message: `The sampling program cannot run: ${message}.`,
      }),
    )
  })

  test('accepts random programs, with few registers and with many', () => {
    fc.assert(
      fc.property(randomProgram(), ({ program, separate }) => {
        validateProgram(program)
        validateProgram(separate)
        expect(program.registers).toBeLessThanOrEqual(separate.registers)
        expect(separateRegisters(program)).toEqual(separate)
      }),
    )
  })
})

describe('a program as text', () => {
  test('comes back as it was', () => {
    fc.assert(
      fc.property(randomProgram(), ({ program }) => {
        expect(programFromJson(programToJson(program))).toEqual(program)
      }),
    )
  })
  test.each([
    [
      '{',
      'The sampling program cannot be read as JSON: it ends where a name in double quotes is expected, in line 1, column 2.',
    ],
    ['{"version":1}', 'The text is not a sampling program'],
    [JSON.stringify(changed(0, { cIn: null })), 'at `instructions.0.cIn`'],
    [JSON.stringify(changed(0, { more: 1 })), 'Unrecognized key'],
    [JSON.stringify(changed(0, { out: 7 })), 'instruction 0 (evaluate) names register 7'],
  ])('%s is refused', (text, message) => {
    expect(() => programFromJson(text)).toThrow(message)
  })
})

test('a program for people', () => {
  expect(explainProgram(program)).toBe(
    [
      'example: 1 step, 1 evaluation, 3 registers',
      'inputs: x in r0, mask in r2',
      '0  r1 = network 0 (r0, label 999, condition given)',
      '1  r1 = 2.5 r0 - 1.25 r1',
      '2  r1 = clip r1 to [-1, 1]',
      '3  r0 = threshold r1 at quantile 0.995 in [1, 10]',
      '4  r1 = noise (step 4, purpose step)',
      '5  r1 = r2 ? r0 : r1',
      '6  emit step 1: x r1, clean r0',
      'output: r1',
    ].join('\n'),
  )
})

test('the encoded form: header, then opcode, operand count and operands', () => {
  expect([...encodeProgram(program)]).toEqual([
    ...[1, 3, 1, 2, 0, 2, 7],
    ...[1, 7, 1, 0, 0, 1, 1, 999, -1],
    ...[2, 5, 1, 2.5, 0, -1.25, 1],
    ...[4, 4, 1, 1, -1, 1],
    ...[5, 5, 0, 1, 0.995, 1, 10],
    ...[3, 3, 1, 4, 1],
    ...[6, 4, 1, 2, 0, 1],
    ...[7, 3, 1, 0, 1],
  ])
})
