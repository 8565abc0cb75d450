/** CONTRIBUTING's "a sampler in two edits", made: its code block becomes a file, its line becomes a list. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { linear } from '../../lib/diffusion/schedules/linear.js'
import type { RecordedSampler, SamplerDefinition } from '../../lib/sampling/define-sampler.js'
import { selectLevels } from '../../lib/sampling/levels.js'
import { record } from '../../lib/sampling/recorder.js'
import { runReference } from '../../lib/sampling/reference-executor.js'
import { samplers } from '../../lib/sampling/samplers.js'
import { contextOf } from './record-context.js'

const folder = mkdtempSync(resolve('test/unit/.added-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

test('the sampler in CONTRIBUTING is first-order: half the step, half the error', async () => {
  const text = readFileSync('CONTRIBUTING.md', 'utf8')
  const block = /```ts\n([\s\S]*?)```/.exec(text)?.[1] ?? ''
  const code = block.replace(/from '\.\/(.*)\.js'/g, "from '../../../lib/sampling/$1.js'")
  const path = join(folder, 'euler.ts')
  writeFileSync(path, code)
  const { euler } = (await import(path)) as { euler: RecordedSampler }

  const list = { ...samplers, euler } satisfies Record<string, SamplerDefinition>
  const schedule = linear.create({
    kind: 'linear',
    steps: 1000,
    betaStart: 1e-4,
    betaEnd: 0.02,
    scaleToSteps: false,
    zeroTerminalSnr: false,
  })
  // Data N(0.5, 0.3²): the exact denoiser is linear, and the exact end of x keeps its place in the distribution.
  const [center, deviation] = [0.5, 0.3]
  const draw = async (steps: number) => {
    const levels = selectLevels(schedule, { steps })
    const program = record(list.euler, { kind: 'euler' }, contextOf(schedule, {}, { levels }))
    const { output } = await runReference(program, {
      network: (x, time) => {
        const { alpha, sigma } = schedule.level(time)
        const gain = (alpha * deviation ** 2) / (alpha ** 2 * deviation ** 2 + sigma ** 2)
        return Float64Array.from(x, (value) => center + gain * (value - alpha * center))
      },
      inputs: { x: [1.3] },
      shape: [1],
      samples: [0],
      seed: 0,
    })
    const start = levels[0] ?? { alpha: 1, sigma: 0 }
    const spread = Math.sqrt(start.alpha ** 2 * deviation ** 2 + start.sigma ** 2)
    const exact = center + (deviation * (1.3 - start.alpha * center)) / spread
    return Math.abs((output[0] ?? 0) - exact)
  }
  const order = Math.log2((await draw(100)) / (await draw(200)))
  expect(order).toBeGreaterThan(0.85)
  expect(order).toBeLessThan(1.15)
})
