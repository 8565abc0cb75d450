import { describe, expect, test } from 'vitest'
import type { Benchmark } from '../../lib/benchmark/benchmark.js'
import { madeUpData } from '../../lib/benchmark/made-up-data.js'
import { operationFlops } from '../../lib/benchmark/operation-flops.js'
import { profileChart } from '../../lib/benchmark/profile-chart.js'
import { profileOf } from '../../lib/benchmark/roofline.js'
import { benchmarkLines, profileLines } from '../../lib/cli/bench-table.js'
import { openDataSet, publishedShape } from '../../lib/datasets/list.js'
import type { NativeOperand, NativeOperation } from '../../lib/native/binding.js'

const operand = (...shape: number[]): NativeOperand => ({ shape, type: 'float32' })
const absent: NativeOperand = { shape: [], type: null }

function operation(
  name: string,
  inputs: readonly NativeOperand[],
  outputs: readonly NativeOperand[],
  rest: Partial<NativeOperation> = {},
): NativeOperation {
  return { name, phase: 'forward', inputs, outputs, calls: 1, seconds: 1, bytesRead: 0, bytesWritten: 0, ...rest }
}

describe('floating-point operations', () => {
  const x = operand(2, 6, 8, 8)
  const weight = operand(10, 6, 3, 3)
  const y = operand(2, 10, 4, 4)
  // Of each output: 6 channels × 9 taps.
  const direct = 2 * (2 * 10 * 4 * 4) * (6 * 9)

  test.each<readonly [string, readonly NativeOperand[], readonly NativeOperand[], number]>([
    ['aten::mkldnn_convolution', [x, weight, operand(10)], [y], direct],
    ['dpm::winograd_convolution', [x, weight, operand(10)], [y], direct],
    ['aten::convolution_backward', [y, x, weight], [x, weight, operand(10)], 2 * direct],
    ['aten::convolution_backward', [y, x, weight], [absent, weight, operand(10)], direct],
    ['aten::convolution_backward', [y, x, weight], [absent, absent, operand(10)], 0],
    ['dpm::winograd_convolution_backward_input', [y, weight], [x], direct],
    ['dpm::winograd_convolution_backward_weight', [x, y], [weight], direct],
    // Groups: a weight sees its own channels only.
    ['aten::mkldnn_convolution', [x, operand(6, 1, 3, 3)], [operand(2, 6, 8, 8)], 2 * (2 * 6 * 64) * 9],
    // Transposed: a weight of in × out lies on the smaller image.
    [
      'aten::convolution_backward',
      [operand(2, 10, 8, 8), operand(2, 6, 4, 4), operand(6, 10, 2, 2)],
      [operand(2, 6, 4, 4), operand(6, 10, 2, 2), absent],
      2 * 2 * (2 * 6 * 16) * (10 * 4),
    ],
    ['aten::mm', [operand(3, 5), operand(5, 7)], [operand(3, 7)], 2 * 3 * 5 * 7],
    ['aten::addmm', [operand(7), operand(3, 5), operand(5, 7)], [operand(3, 7)], 2 * 3 * 5 * 7],
    ['aten::bmm', [operand(4, 3, 5), operand(4, 5, 7)], [operand(4, 3, 7)], 4 * 2 * 3 * 5 * 7],
    // Scores, and their mean of the values.
    ['dpm::attention', [operand(2, 16, 3 * 8)], [operand(2, 16, 8)], 2 * 2 * (2 * 16 * 16 * 8)],
    ['dpm::attention_backward', [operand(2, 16, 3 * 8)], [operand(2, 16, 3 * 8)], 5 * 2 * (2 * 16 * 16 * 8)],
    [
      'aten::_scaled_dot_product_flash_attention_for_cpu',
      [operand(2, 4, 16, 2), operand(2, 4, 9, 2), operand(2, 4, 9, 2)],
      [operand(2, 4, 16, 2)],
      2 * 2 * (2 * 4 * 16 * 9 * 2),
    ],
    ['aten::add', [x, x], [x], 0],
    ['toString', [], [], 0],
  ])('%s', (name, inputs, outputs, flops) => {
    expect(operationFlops(operation(name, inputs, outputs))).toBe(flops)
    expect(operationFlops(operation(name, inputs, outputs, { calls: 7 }))).toBe(7 * flops)
  })
})

const machine = {
  processor: 'made up',
  threads: 2,
  capability: 'AVX2',
  device: 'cpu',
  flopsPerSecond: 1000,
  bytesPerSecond: 100,
}

/** Two runs of 6 s, of which recording took 2 s in all. */
const native = {
  runs: 2,
  seconds: 12,
  overhead: 2,
  peakBytes: 77,
  operations: [
    operation('aten::mm', [operand(5, 10), operand(10, 10)], [operand(5, 10)], { calls: 2, seconds: 4, bytesRead: 30 }),
    operation('aten::mm', [operand(1, 10), operand(10, 10)], [operand(1, 10)], { calls: 2, seconds: 2 }),
    operation('aten::add', [operand(9)], [operand(9)], {
      phase: 'backward',
      seconds: 2,
      bytesRead: 40,
      bytesWritten: 10,
    }),
    operation('AddBackward0', [], [], { phase: 'backward', seconds: 0.5 }),
    operation('autograd::engine::evaluate_function: AddBackward0', [], [], { phase: 'backward', seconds: 0.5 }),
  ],
}

test('a profile is of one run: sums by name and phase, shares, what the machine allows, what is left', () => {
  const profile = profileOf(native, machine, 2)
  expect(profile).toMatchObject({
    runs: 2,
    seconds: 5,
    recordingSeconds: 1,
    betweenSeconds: 0.5,
    peakBytes: 77,
    bytes: 40,
  })
  expect(profile.operations).toEqual([
    {
      name: 'aten::mm',
      phase: 'forward',
      calls: 2,
      seconds: 3,
      share: 3 / 5,
      bytes: 15,
      flops: 1000 + 200,
      // 1.2 s by its operations, 0.15 s by its bytes.
      roofline: 1.2 / 3,
    },
    { name: 'aten::add', phase: 'backward', calls: 0.5, seconds: 1, share: 0.2, bytes: 25, flops: 0, roofline: 0.25 },
    { name: 'autograd', phase: 'backward', calls: 1, seconds: 0.5, share: 0.1, bytes: 0, flops: 0, roofline: null },
  ])
  expect(profile.byShape.map(({ shapes }) => shapes)).toEqual(['5×10, 10×10', '1×10, 10×10', '9', ''])
})

describe('what is printed and drawn', () => {
  const measurement = {
    seconds: [5, 4, 6],
    median: 5,
    imagesPerSecond: 8 / 5,
    flopsPerSecond: 240,
    shareOfPeak: 0.24,
    peakBytes: 77,
    profile: profileOf(native, machine, 2),
  }
  const result: Benchmark = {
    name: 'a <name> & more',
    network: 'unet',
    parameters: 1234,
    image: { channels: 3, height: 8, width: 8 },
    batch: 8,
    precision: 'float32',
    machine,
    training: measurement,
    evaluation: null,
    memoryBytes: 1e9,
  }

  test('the table has a line for each operation, and what is beyond its length in one', () => {
    expect(benchmarkLines(result).join('\n')).toMatch(/training step +5000 +1\.6 .* 24 %/)
    expect(benchmarkLines(result).join('\n')).not.toContain('evaluation')
    const lines = profileLines('a training step', measurement, false, 1)
    expect(lines.find((line) => line.startsWith('aten::mm'))).toMatch(/forward +2 +3000 +60 %.* 40 %$/)
    expect(lines.find((line) => line.startsWith('2 others'))).toMatch(/1500 +30 %/)
    expect(lines.find((line) => line.startsWith('between operations'))).toMatch(/500 +10 %/)
    expect(profileLines('a training step', measurement, true, 9).join('\n')).toContain('5×10, 10×10')
  })

  test('the picture is an SVG document with a bar for each, whatever the name', () => {
    const chart = profileChart(result)
    expect(chart).toContain('a &lt;name&gt; &amp; more')
    for (const name of ['aten::mm', 'aten::add', 'autograd', 'between operations']) expect(chart).toContain(`>${name}<`)
    expect(chart).toContain('60 %, 40 % of the roofline')
  })
})

describe('made-up data', () => {
  test('has the shape and the classes of the data as it is published', async () => {
    const settings = { kind: 'emoji', size: 8, skinTones: true, kernel: 'lanczos3', folder: null } as const
    const published = publishedShape(settings)
    const real = await openDataSet(settings)
    const { channels, height, width } = real
    expect(published).toEqual({ channels, height, width, classes: real.classes.length })
    await real.close()
  })

  test('is the same every time, of all values, and fits every data set that is not made of columns', async () => {
    const settings = { kind: 'cifar10', path: 'nowhere', split: 'train' } as const
    const images = []
    for (let turn = 0; turn < 2; turn++) {
      const data = await madeUpData(settings, 5)
      expect(data).toMatchObject({ channels: 3, height: 32, width: 32, length: 5 })
      expect(data.classes).toHaveLength(10)
      const into = new Uint8Array(5 * 3072)
      await data.read([0, 1, 2, 3, 4], into)
      expect(new Set(into).size).toBe(256)
      images.push(into)
    }
    expect(images[0]).toEqual(images[1])
  })
})
