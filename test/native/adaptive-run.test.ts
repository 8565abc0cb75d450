/** Samplers that choose their steps, on a small network: the flow is the one of other samplers, and every sample is its own. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createProcess, parseDiffusion } from '../../lib/diffusion/diffusion-options.js'
import { AdaptiveRun, type AdaptiveRunOptions, adaptiveSteps } from '../../lib/generation/adaptive-run.js'
import { recordContext, type Source, startGeneration } from '../../lib/generation/generate.js'
import { drawNoise } from '../../lib/generation/noise.js'
import { Network } from '../../lib/networks/network.js'
import { parseSampler, type SamplerOptions, samplers } from '../../lib/sampling/samplers.js'
import { tinyElements, tinyImage } from './tiny-unet.js'

const networks: Network[] = []

beforeAll(async () => {
  for (const seed of [1, 2]) {
    networks.push(
      await Network.create(
        'unet',
        {
          channels: 8,
          multipliers: [1, 2],
          blocks: 1,
          attentionResolutions: [4],
          groups: 4,
          zeroLayers: 'none',
          classConditional: true,
          nullClass: true,
        },
        { image: tinyImage, classes: 3, seed, device: 'cpu' },
      ),
    )
  }
})
afterAll(() => {
  for (const network of networks) network.dispose()
})

function sourceOf(index: number): Source {
  const network = networks[index]
  if (!network) throw new Error(`no network ${index}`)
  return {
    network: network.handle,
    device: 'cpu',
    precision: 'float32',
    process: createProcess(
      parseDiffusion({ schedule: 'vp-sde', timeLabel: 'fraction', prediction: 'clean', clip: { kind: 'none' } }),
    ),
    image: tinyImage,
    classes: ['a', 'b', 'c'],
    nullClass: true,
    conditionChannels: 0,
  }
}

const conditional = { classes: [0, 1, 2], guidance: { kind: 'classifier-free', scale: 2 } } as const
const keys = [4, 9, 2]
const classOf = (key: number): number => key % 3

async function start(
  samples: readonly number[],
  sampler: SamplerOptions & { kind: 'rk45' | 'rk23' },
  change: Partial<AdaptiveRunOptions> = {},
): Promise<AdaptiveRun> {
  const source = sourceOf(0)
  using x = await drawNoise(source, 3, samples)
  return AdaptiveRun.create(
    source,
    undefined,
    samplers[sampler.kind],
    parseSampler(sampler),
    recordContext(source, conditional),
    { x },
    { chunk: 2, classes: Int32Array.from(samples, classOf), precision: 'float32', ...change },
  )
}

async function draw(
  samples: readonly number[],
  sampler: SamplerOptions & { kind: 'rk45' | 'rk23' },
  change: Partial<AdaptiveRunOptions> = {},
): Promise<Float32Array> {
  using run = await start(samples, sampler, change)
  expect(await run.advance()).toMatchObject({ step: adaptiveSteps, done: true })
  using output = await run.read('output')
  return output.data()
}

describe('rk45 on a network', () => {
  test('goes where small fixed steps of the native loop go', async () => {
    const adaptive = await draw(keys, { kind: 'rk45', rtol: 1e-3, atol: 1e-4 })
    using fixed = await startGeneration(sourceOf(0), {
      ...conditional,
      classes: keys.map(classOf),
      sampler: 'rk4',
      spacing: 'exponential',
      steps: 40,
      seed: 3,
      samples: keys,
    })
    await fixed.run.advance(Number.POSITIVE_INFINITY, {})
    using output = await fixed.run.read('output')
    const expected = await output.data()
    const size = Math.max(...expected.map(Math.abs))
    expect(adaptive.length).toBe(3 * tinyElements)
    expect(Math.max(...adaptive.map((value, i) => Math.abs(value - (expected[i] ?? Number.NaN))))).toBeLessThan(
      5e-3 * size,
    )
  })

  test('gives a sample the same bytes alone, in company and in another order', async () => {
    const sampler = { kind: 'rk45', rtol: 0.05, atol: 0.05 } as const
    const together = await draw(keys, sampler)
    const rows = keys.map((_, n) => [...together.subarray(n * tinyElements, (n + 1) * tinyElements)])
    const alone: number[][] = []
    for (const key of keys) alone.push([...(await draw([key], sampler))])
    expect(alone).toEqual(rows)
    expect([...(await draw(keys.toReversed(), sampler))]).toEqual(rows.toReversed().flat())
  })

  test('follows guides, one sample at a time', async () => {
    const shapes = new Set<string>()
    const source = sourceOf(0)
    using x = await drawNoise(source, 3, [1, 2])
    const pull = async (scale: number): Promise<Float32Array> => {
      using run = await AdaptiveRun.create(
        source,
        undefined,
        samplers.rk23,
        parseSampler({ kind: 'rk23', rtol: 0.05, atol: 0.05 }),
        recordContext(source, { ...conditional, guides: [{ gradient: async (at) => at.to({}), scale }] }),
        { x },
        {
          chunk: 2,
          classes: Int32Array.of(0, 1),
          precision: 'float32',
          guides: [
            async (at) => {
              shapes.add(at.shape.join('×'))
              return at.to({})
            },
          ],
        },
      )
      await run.advance()
      using output = await run.read('output')
      return output.data()
    }
    const [none, some] = [await pull(0), await pull(0.05)]
    expect(none.some((value, i) => Math.abs(value - (some[i] ?? 0)) > 1e-3)).toBe(true)
    expect([...shapes]).toEqual([`1×${tinyImage.channels}×${tinyImage.height}×${tinyImage.width}`])
  })

  test('tells how far it is, shows x on the way, and stops when it is told to', async () => {
    using run = await start(keys, { kind: 'rk23' })
    await expect(run.read('x')).rejects.toThrow('no `x` yet')
    const seen: number[] = []
    const { done, evaluations } = await run.advance(5, { onProgress: ({ step }) => void seen.push(step) })
    expect(done).toBe(false)
    // The slope at the start, then three stages a try, each of two conditions.
    expect(evaluations).toBe(2 * (1 + 5 * 3))
    expect(seen).toHaveLength(5)
    expect(seen).toEqual(seen.toSorted((a, b) => a - b))
    using x = await run.read('x')
    expect(x.shape).toEqual([3, tinyImage.channels, tinyImage.height, tinyImage.width])
    const controller = new AbortController()
    const running = run.advance(Number.POSITIVE_INFINITY, { signal: controller.signal })
    setTimeout(() => controller.abort(), 5)
    await expect(running).rejects.toMatchObject({ code: 'DPM_ABORTED' })
  })
})
