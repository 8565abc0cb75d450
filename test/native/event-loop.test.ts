import { monitorEventLoopDelay } from 'node:perf_hooks'
import { expect, onTestFinished, test } from 'vitest'
import { loadBinding } from '../../lib/native/load.js'
import { holdHandles } from './handles.js'
import { createTinyUnet } from './tiny-unet.js'
import { batchOf, createTraining, planOf, update } from './training-batch.js'

const held = holdHandles()

/** 95th percentile, in milliseconds, of how late timers fire while training runs with two steps in flight. */
async function measureDelay(milliseconds: number): Promise<{ delay: number; steps: number }> {
  const network = await createTinyUnet(held, { settings: { channels: 32, groups: 8 } })
  const training = await createTraining(held, network)
  const batch = batchOf(held, planOf(Array.from({ length: 16 }, (_, n) => n)))
  let steps = 0
  const step = () => loadBinding().trainingStep(training, { ...batch, update: { ...update, step: ++steps } }, null)
  await step()
  const monitor = monitorEventLoopDelay({ resolution: 5 })
  monitor.enable()
  const end = performance.now() + milliseconds
  let running = step()
  while (performance.now() < end) {
    const next = step()
    await running
    running = next
  }
  await running
  monitor.disable()
  // The monitor's own period is part of what it counts.
  return { delay: monitor.percentile(95) / 1e6 - 5, steps }
}

test('the event loop stays free while training computes', { retry: 3 }, async () => {
  const { delay, steps } = await measureDelay(1_500)
  expect(steps).toBeGreaterThan(3)
  expect(delay).toBeLessThan(20)
})

test('memory stays flat over 2,000 training steps', { retry: 1 }, async () => {
  // Threads that wait for each other make so small a step many times slower on a busy machine.
  const { threads } = loadBinding().version()
  await loadBinding().setThreads(1)
  onTestFinished(() => loadBinding().setThreads(threads))
  const network = await createTinyUnet(held, {
    settings: { channels: 4, multipliers: [1], attentionResolutions: [], middleAttention: false, groups: 2 },
  })
  const training = await createTraining(held, network, { averages: 1 })
  const plan = planOf([0])
  const run = async (steps: number): Promise<void> => {
    for (let step = 1; step <= steps; step++) {
      const batch = batchOf((handle) => handle, plan, { update: { ...update, step, averagingDecays: [0.9] } })
      await loadBinding().trainingStep(training, batch, null)
      loadBinding().dispose(batch.images)
    }
  }
  await run(300)
  const before = process.memoryUsage.rss()
  await run(2_000)
  expect(process.memoryUsage.rss() - before).toBeLessThan(16 * 2 ** 20)
})
