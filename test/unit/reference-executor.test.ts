import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { normals } from '../../lib/random/philox.js'
import type { Instruction, Program } from '../../lib/sampling/program.js'
import { type ReferenceNetwork, referenceSteps, runReference } from '../../lib/sampling/reference-executor.js'
import { randomProgram } from './random-program.js'

/** Each output depends on another element of the sample, so a register that is written too early shows. */
const network: ReferenceNetwork = (x, cNoise, condition) =>
  x.map((_, i) => Math.tanh((x[x.length - 1 - i] ?? 0) + cNoise / 1000) + (condition === 'given' ? 0.25 : 0))

function programOf(
  instructions: readonly Instruction[],
  registers: number,
  output: number,
  inputs: Program['inputs'] = { x: 0 },
): Program {
  return {
    version: 1,
    name: 'test',
    registers,
    inputs,
    instructions,
    output,
    steps: instructions.filter(({ op }) => op === 'emit').length,
  }
}
const x = [0.5, -3, 2, 1]
const oneSample = { network, inputs: { x }, shape: [1, 2, 2], samples: [7], seed: 5 }

describe('each instruction', () => {
  test('evaluate gives the network cIn · x, the label, the condition and the index', async () => {
    const calls: unknown[] = []
    const { output, evaluations } = await runReference(
      programOf([{ op: 'evaluate', out: 1, x: 0, network: 2, condition: 'null', cIn: 2, cNoise: 12 }], 2, 1),
      {
        ...oneSample,
        network: async (...call) => {
          calls.push(call)
          return [1, 2, 3, 4]
        },
      },
    )
    expect(calls).toEqual([[Float64Array.of(1, -6, 4, 2), 12, 'null', 2]])
    expect([...output]).toEqual([1, 2, 3, 4])
    expect(evaluations).toBe(1)
  })
  test('combine sums, also onto one of its terms', async () => {
    const { output } = await runReference(
      programOf(
        [
          {
            op: 'combine',
            out: 0,
            terms: [
              [2, 0],
              [-0.5, 0],
            ],
          },
        ],
        1,
        0,
      ),
      oneSample,
    )
    expect([...output]).toEqual([0.75, -4.5, 3, 1.5])
  })
  test('noise is keyed by seed, purpose, step, sample and element', async () => {
    const run = { ...oneSample, inputs: { x: [...x, ...x] }, samples: [7, 3] }
    const { output } = await runReference(programOf([{ op: 'noise', out: 0, step: 9, purpose: 1 }], 1, 0), run)
    expect([...output]).toEqual([...normals(5, 'step', 9, 7, 4), ...normals(5, 'step', 9, 3, 4)])
  })
  test('clip limits', async () => {
    const { output } = await runReference(
      programOf([{ op: 'clip', out: 0, x: 0, low: -1, high: 1.5 }], 1, 0),
      oneSample,
    )
    expect([...output]).toEqual([0.5, -1, 1.5, 1])
  })
  test('threshold takes the quantile of each sample by itself, within its bounds', async () => {
    // |x| sorted: 0.5, 1, 2, 3, so the median is 1.5; ten times smaller it is below the lowest threshold of 1.
    const program = programOf([{ op: 'threshold', out: 1, x: 0, quantile: 0.5, low: 1, high: 10 }], 2, 1)
    const run = { ...oneSample, inputs: { x: [...x, ...x.map((value) => value / 10)] }, samples: [0, 1] }
    const { output } = await runReference(program, run)
    expect([...output]).toEqual([0.5 / 1.5, -1, 1, 1 / 1.5, 0.05, -0.3, 0.2, 0.1])
    const capped = programOf([{ op: 'threshold', out: 1, x: 0, quantile: 1, low: 1, high: 2 }], 2, 1)
    expect([...(await runReference(capped, oneSample)).output]).toEqual([0.25, -1, 1, 0.5])
  })
  test('blend mixes by the mask', async () => {
    const program = programOf([{ op: 'blend', out: 0, mask: 1, a: 0, b: 2 }], 3, 0, { x: 0, mask: 1, known: 2 })
    const { output } = await runReference(program, {
      ...oneSample,
      inputs: { x, mask: [1, 0, 0.25, 0], known: [9, 9, 10, 9] },
    })
    expect([...output]).toEqual([0.5, 9, 8, 9])
  })
})

test('using registers again changes no result of a random program', async () => {
  await fc.assert(
    fc.asyncProperty(randomProgram(), async ({ program, separate, inputs, shape, samples, seed }) => {
      const run = { network, inputs, shape, samples, seed }
      const seen: unknown[] = []
      for await (const step of referenceSteps(separate, run)) seen.push(step)
      const again: unknown[] = []
      for await (const step of referenceSteps(program, run)) again.push(step)
      expect(again).toEqual(seen)
      expect(await runReference(program, run)).toEqual(await runReference(separate, run))
    }),
    { numRuns: 300 },
  )
})

test('a sample does not depend on the others of its batch', async () => {
  const elementwise: ReferenceNetwork = (values, cNoise) => values.map((value) => Math.sin(value + cNoise))
  await fc.assert(
    fc.asyncProperty(randomProgram(), async ({ program, inputs, shape, samples, seed }) => {
      const elements = shape[0] * shape[1] * shape[2]
      const { output } = await runReference(program, { network: elementwise, inputs, shape, samples, seed })
      const last = samples.length - 1
      const alone = await runReference(program, {
        network: elementwise,
        inputs: { x: inputs.x.slice(last * elements), mask: inputs.mask.slice(last * elements) },
        shape,
        samples: samples.slice(last),
        seed,
      })
      expect(alone.output).toEqual(output.slice(last * elements))
    }),
  )
})

describe('refusals', () => {
  const clip = programOf([{ op: 'clip', out: 0, x: 0, low: -1, high: 1 }], 1, 0)
  test('a missing input, by name', async () => {
    await expect(runReference(clip, { ...oneSample, inputs: {} })).rejects.toThrow(
      'needs the input `x`, which is not given',
    )
  })
  test('arrays of another length', async () => {
    await expect(runReference(clip, { ...oneSample, inputs: { x: [1] } })).rejects.toThrow(
      'Expected 1 × 4 = 4 numbers for `x`',
    )
    const program = programOf(
      [{ op: 'evaluate', out: 1, x: 0, network: 0, condition: 'null', cIn: 1, cNoise: 0 }],
      2,
      1,
    )
    await expect(runReference(program, { ...oneSample, network: () => [1] })).rejects.toThrow(
      'for `output of the network at label 0`',
    )
  })
  test('an aborted signal', async () => {
    await expect(runReference(clip, { ...oneSample, signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'DPM_ABORTED',
      name: 'AbortError',
    })
  })
})
