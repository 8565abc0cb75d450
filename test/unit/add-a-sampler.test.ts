/** CONTRIBUTING's "a sampler in two edits", made: its code block becomes a file, its line becomes a list. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { linear } from '../../lib/diffusion/schedules/linear.js'
import type { RecordedSampler, SamplerDefinition } from '../../lib/sampling/define-sampler.js'
import { record } from '../../lib/sampling/recorder.js'
import { samplers } from '../../lib/sampling/samplers.js'
import { moments, runAffine } from './affine-program.js'
import { contextOf } from './record-context.js'

const folder = mkdtempSync(resolve('test/unit/.added-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

test('the sampler in CONTRIBUTING has the exact law of one image at every level', async () => {
  const text = readFileSync('CONTRIBUTING.md', 'utf8')
  const block = /```ts\n([\s\S]*?)```/.exec(text)?.[1] ?? ''
  const code = block.replace(/from '\.\/(.*)\.js'/g, "from '../../../lib/sampling/$1.js'")
  const path = join(folder, 'consistency.ts')
  writeFileSync(path, code)
  const { consistency } = (await import(path)) as { consistency: RecordedSampler }

  const list = { ...samplers, consistency } satisfies Record<string, SamplerDefinition>
  const schedule = linear.create(linear.options.parse({ kind: 'linear' }))
  const context = contextOf(schedule, { steps: 20 })
  const program = record(list.consistency, { kind: 'consistency' }, context)
  // Data is the one image 0.5, which is what the exact denoiser answers.
  const { steps, evaluations } = runAffine(program, () => ({ gain: 0, offset: 0.5 }))
  expect(evaluations).toBe(20)
  steps.forEach(({ x }, index) => {
    const level = context.levels[index + 1] ?? schedule.clean
    const { mean, variance } = moments(x, { x: { mean: 0, variance: 1 } })
    expect(Math.abs(mean - 0.5 * level.alpha)).toBeLessThan(1e-15)
    expect(Math.abs(variance - level.sigma ** 2)).toBeLessThan(1e-15)
  })
})
