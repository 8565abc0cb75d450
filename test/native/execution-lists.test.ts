import { describe, expect, test } from 'vitest'
import type { ExecutionHandle, NativeExecutionOptions } from '../../lib/native/binding.js'
import { loadBinding } from '../../lib/native/load.js'
import { encodeProgram } from '../../lib/sampling/program.js'
import { createTensor, holdHandles } from './handles.js'
import { createTinyUnet, drawImages, tinyImage } from './tiny-unet.js'

const held = holdHandles()
const imageShape = [tinyImage.channels, tinyImage.height, tinyImage.width] as const

describe('a list that is not a program', () => {
  const good = [1, 2, 1, 1, 0, 1, 4, 4, 1, 0, -1, 1]
  const create = async (
    numbers: ArrayLike<number>,
    changes: Partial<NativeExecutionOptions> = {},
  ): Promise<ExecutionHandle> => {
    const network = await createTinyUnet(held)
    const options = { seed: 1, samples: Float64Array.of(0), chunk: 1, classes: null, image: null, ...changes }
    const x = createTensor(held, drawImages(1), [1, ...imageShape])
    return held(await loadBinding().executionCreate([network], Float64Array.from(numbers), [x], options, 'float32'))
  }
  const change = (place: number, number: number): number[] => good.with(place, number)
  const evaluate = (operand: number, number: number): number[] =>
    [1, 2, 1, 1, 0, 1, 1, 7, 1, 0, 0, 1, 1, 0, -1].with(8 + operand, number)

  test('unlike this one', async () => {
    await create(good)
  })
  test.each([
    ['nothing', [], 'ends too early'],
    ['cut short', good.slice(0, -1), 'ends too early'],
    ['cut in its head', good.slice(0, 3), 'ends too early'],
    ['longer', [...good, 0], 'numbers after its end'],
    ['of another version', change(0, 2), 'a version that this build does not know'],
    ['with too many registers', change(1, 2 ** 29), 'count of registers'],
    ['with an output that is no register', change(2, 2), 'Expected a register below 2'],
    ['with an input that is no register', change(4, 7), 'Expected a register below 2'],
    ['with an unknown opcode', change(6, 0), 'unknown instruction'],
    ['with a high opcode', change(6, 12), 'Expected a opcode below 12'],
    ['with too few operands', [...change(7, 3).slice(0, -1)], 'wrong number of operands'],
    ['writing to register 2', change(8, 2), 'names register 2'],
    ['reading register -1', change(9, -1), 'names register -1'],
    ['reading register 0.5', change(9, 0.5), 'names register 0.5'],
    ['with a NaN', change(10, Number.NaN), 'not finite'],
    ['with an infinity', change(11, Number.POSITIVE_INFINITY), 'not finite'],
    ['asking network 1', evaluate(2, 1), 'evaluates network 1'],
    ['asking network 0.5', evaluate(2, 0.5), 'evaluates network 0.5'],
    ['asking for the variance in register 2', evaluate(6, 2), 'names register 2'],
    ['asking for the variance in the output', evaluate(6, 1), 'to two registers'],
    ['asking for a learned variance', evaluate(6, 0), 'has not learned one'],
    ['with a condition of 2', evaluate(3, 2), 'condition of 0 or 1'],
    ['with a measure of 2', [1, 2, 1, 1, 0, 1, 10, 6, 1, 0, 0, 2, 1, 1], 'measure of 0 (norm) or 1'],
    ['with half a guide', [1, 2, 1, 1, 0, 1, 11, 6, 1, 0, 0.5, 0, 1, 0], "a guide's number"],
    ['with noise of a negative step', [1, 2, 1, 1, 0, 1, 3, 3, 1, -1, 1], 'a step and a purpose below 2^32'],
    ['with a sum of no terms', [1, 2, 1, 1, 0, 1, 2, 1, 1], '1 to 16 terms'],
    ['with a sum of 17 terms', [1, 2, 1, 1, 0, 1, 2, 35, 1, ...new Array(34).fill(0)], '1 to 16 terms'],
  ])('%s', async (_, numbers, message) => {
    await expect(create(numbers)).rejects.toMatchObject({
      code: 'DPM_INVALID_ARGUMENT',
      message: expect.stringContaining(message),
    })
  })
  test('a register that is read before it is written', async () => {
    const execution = await create(
      encodeProgram({
        version: 1,
        name: 'test',
        registers: 2,
        inputs: { x: 0 },
        output: 0,
        steps: 0,
        instructions: [{ op: 'clip', out: 0, x: 1, low: -1, high: 1 }],
      }),
    )
    await expect(loadBinding().executionAdvance(execution, 1, null, null)).rejects.toThrow(
      'reads register 1 before it is written',
    )
  })
  test.each([
    ['another number of samples', { samples: Float64Array.of(0, 1) }, 'one sample key per image'],
    ['a chunk of 0', { chunk: 0 }, 'for `chunk` but received 0'],
    ['classes for a network without', { classes: Int32Array.of(0) }, 'not class-conditional'],
  ])('%s', async (_, changes, message) => {
    await expect(create(good, changes)).rejects.toThrow(message)
  })
})
