/** The native part of `dpm-torch selftest`. */
import { expect, test } from 'vitest'
import { checkNative, nativeTolerance } from '../../lib/evaluation/selftest/native-pass.js'
import { runSelftest } from '../../lib/evaluation/selftest/selftest.js'
import { memory } from '../../lib/native/memory.js'
import { type SamplerKind, samplers } from '../../lib/sampling/samplers.js'

const recorded = (Object.keys(samplers) as SamplerKind[]).filter((kind) => !samplers[kind].adaptive)

test('every program gives on the native loop what it gives in float64, and leaves nothing behind', async () => {
  const fractions: number[] = []
  const checks = await checkNative({ onProgress: (fraction) => fractions.push(fraction) })
  expect(checks.map(({ sampler }) => sampler)).toEqual(recorded)
  for (const { sampler, difference, passes } of checks) {
    // More than nothing: registers are float32.
    expect(difference, sampler).toBeGreaterThan(0)
    expect(difference, sampler).toBeLessThan(nativeTolerance)
    expect(passes).toBe(true)
  }
  expect(fractions).toEqual(fractions.toSorted((a, b) => a - b))
  expect(memory()).toMatchObject({ tensors: 0, networks: 0, others: 0, bytes: 0, jobs: 0 })
})

test('is one part of the selftest', async () => {
  const { native, samplers: checks, passes } = await runSelftest({ names: ['ddim', 'rk45'], native: true })
  expect(native?.map(({ sampler }) => sampler)).toEqual(['ddim'])
  expect(checks).toHaveLength(2)
  expect(passes).toBe(true)
  // An adaptive sampler has no program to compare.
  expect((await runSelftest({ names: ['rk45'], native: true })).native).toBeNull()
})

test('is cancelled, and leaves nothing behind', async () => {
  const controller = new AbortController()
  const checks = checkNative({
    signal: controller.signal,
    onProgress: (fraction) => fraction > 0.2 && controller.abort(),
  })
  await expect(checks).rejects.toMatchObject({ code: 'DPM_ABORTED' })
  expect(memory()).toMatchObject({ tensors: 0, networks: 0, others: 0, bytes: 0, jobs: 0 })
})
