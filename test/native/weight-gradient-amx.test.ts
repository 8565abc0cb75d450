import { readFileSync } from 'node:fs'
import { afterAll, describe, expect, test } from 'vitest'
import { loadBinding } from '../../lib/native/load.js'
import { holdHandles } from './handles.js'
import { apart, isSame, type LayerCase, runLayer } from './layer-alone.js'
import { convolution } from './layer-cases.js'

const held = holdHandles()
const { threads } = loadBinding().version()
afterAll(() => loadBinding().setThreads(threads))

const tiles = readFileSync('/proc/cpuinfo', 'latin1').includes(' amx_bf16 ')

// Lines of even and odd length with their zero; channels of whole and of part blocks; more and fewer pixels than a chunk.
const cases: readonly (readonly [string, LayerCase])[] = [
  ['3×3', convolution([8, 32, 16, 16], 64)],
  ['3×3 of odd sizes, without bias', convolution([3, 24, 13, 17], 40, { biased: false })],
  ['3×3 from colours', convolution([2, 3, 10, 14], 33)],
  ['3×3 to colours', convolution([2, 70, 9, 8], 3)],
  ['3×3 of one pixel', convolution([1, 16, 1, 1], 16)],
  ['1×1', convolution([5, 32, 16, 16], 96, { kernel: 1 })],
  ['1×1 of odd sizes', convolution([3, 20, 7, 11], 5, { kernel: 1 })],
]

describe.skipIf(!tiles).each(cases)("the gradient of a bfloat16 convolution's weight by matrix tiles: %s", (_, of) => {
  test("is libtorch's, which rounds it to bfloat16 and we do not", async () => {
    const ours = await runLayer(held, of, { precision: 'bfloat16' })
    const plain = await runLayer(held, of, { precision: 'bfloat16', fused: false })
    expect(isSame([ours.output], [plain.output])).toBe(true)
    for (const [i, gradient] of plain.gradients.entries()) {
      expect(apart(ours.gradients[i] ?? [], gradient), `by input ${i}`).toBeLessThan(2 ** -8)
    }
    const isRounded = (values: ArrayLike<number> = []) => Array.from(values).every(isBfloat16)
    expect([isRounded(ours.gradients[1]), isRounded(plain.gradients[1])]).toEqual([false, true])
  })

  test('is the same for any number of threads', async () => {
    const found = []
    for (const count of [1, 2, 5, 16]) {
      await loadBinding().setThreads(count)
      found.push((await runLayer(held, of, { precision: 'bfloat16' })).gradients.slice(1))
    }
    for (const other of found.slice(1)) expect(isSame(other, found[0] ?? [])).toBe(true)
  })
})

function isBfloat16(value: number): boolean {
  return (new Uint32Array(Float32Array.of(value).buffer)[0] ?? 0) % 65536 === 0
}
