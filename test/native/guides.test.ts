/** Gradients that steer a run: of a caller's own, of the clean image, of a classifier. */
import { describe, expect, test } from 'vitest'
import { type Classifier, guideByClassifier } from '../../lib/generation/guides/classifier.js'
import { guideOnClean } from '../../lib/generation/guides/on-clean.js'
import { drawNoise } from '../../lib/generation/noise.js'
import { Network } from '../../lib/networks/network.js'
import { Tensor } from '../../lib/tensor/tensor.js'
import { holdSources } from './tiny-sources.js'
import { tinyElements, tinyImage } from './tiny-unet.js'

const { networkOf, sourceOf, draw } = holdSources()

/** Three logits: the mean of each channel that a network gives, times 100, or its classes would be all alike. */
function poolingClassifier(network: Network): Classifier {
  return {
    async forward(x, labels) {
      const pass = await network.forward(x, labels)
      const pixels = 64
      const output = await pass.output.data()
      const logits = new Float32Array(output.length / pixels)
      output.forEach((value, i) => {
        logits[Math.floor(i / pixels)] = (logits[Math.floor(i / pixels)] ?? 0) + (100 * value) / pixels
      })
      const judged = Tensor.from(logits, [x.shape[0] ?? 0, 3]) as Tensor<'float32'>
      return {
        output: judged,
        async backward(gradient) {
          const given = await (gradient as Tensor<'float32'>).data()
          using spread = Tensor.from(
            output.map((_, i) => (100 * (given[Math.floor(i / pixels)] ?? 0)) / pixels),
            pass.output.shape,
          )
          return pass.backward(spread)
        },
        [Symbol.dispose]() {
          judged.dispose()
          pass.dispose()
        },
      }
    },
  }
}

describe('guides', () => {
  test('move the clean image by scale · sigma² / alpha · gradient', async () => {
    const level = sourceOf(0).process.schedule.level(99)
    const plain = await draw({ count: 2, steps: 1 })
    const gradient = async (x: Tensor): Promise<Tensor> =>
      Tensor.from(new Float32Array(x.shape.reduce((a, b) => a * b)).fill(0.01), x.shape)
    const guided = await draw({ count: 2, steps: 1, guides: [{ gradient, scale: 2 }] })
    const shift = (2 * 0.01 * level.sigma ** 2) / level.alpha
    guided.forEach((value, i) => {
      expect(Math.abs(value - (plain[i] ?? 0) - shift) / shift).toBeLessThan(1e-4)
    })
  })

  test("on the clean image of a network that must be told a class: it is told the run's", async () => {
    const options = {
      channels: 8,
      multipliers: [1],
      blocks: 1,
      attentionResolutions: [],
      groups: 4,
      zeroLayers: 'none' as const,
    }
    const place = { image: tinyImage, classes: 3, seed: 3, device: 'cpu' }
    using network = await Network.create('unet', { ...options, classConditional: true, nullClass: false }, place)
    const source = { ...sourceOf(0), network: network.handle, classes: ['a', 'b', 'c'], nullClass: false }
    const gradient = async (clean: Tensor): Promise<Tensor> => clean.to({})
    const by = (classes?: number[]) => [
      { gradient: guideOnClean({ source, network }, gradient, classes ? { classes } : {}) },
    ]
    const told = await draw({ samples: [2, 4, 9], steps: 2, classes: ['c', 'b', 'a'], guides: by([2, 1, 0]) }, source)
    expect(await draw({ samples: [2, 4, 9], steps: 2, guides: by() }, source)).toEqual(told)
  })

  test('on the clean image: the gradient goes back through the network', async () => {
    const source = sourceOf(0)
    const network = networkOf(0)
    const level = source.process.schedule.level(40)
    const { cIn, cSkip, cOut } = source.process.prediction.numbers(level)
    using noise = await drawNoise(source, 3, [0])
    const x = await noise.data()
    // log p = -½ ‖clean - 0.5‖², summed over the image.
    const logDensity = async (at: Float32Array): Promise<number> => {
      using input = Tensor.from(
        at.map((value) => cIn * value),
        [1, 3, 8, 8],
      )
      using pass = await network.forward(input, [source.process.label(level)], { gradient: false })
      const output = await pass.output.data()
      return output.reduce((sum, value, i) => sum - 0.5 * (cSkip * (at[i] ?? 0) + cOut * value - 0.5) ** 2, 0)
    }
    const guide = guideOnClean({ source, network }, async (clean) => {
      const values = await clean.data()
      return Tensor.from(
        values.map((value) => 0.5 - value),
        clean.shape,
      )
    })
    using gradient = await guide(noise, { ...level, places: [0] })
    const analytic = await (gradient as Tensor<'float32'>).data()
    for (const i of [0, 77, 150]) {
      const step = 0.02
      const moved = (by: number): Float32Array => x.map((value, k) => (k === i ? value + by : value))
      const difference = ((await logDensity(moved(step))) - (await logDensity(moved(-step)))) / (2 * step)
      expect(Math.abs((analytic[i] ?? 0) - difference)).toBeLessThan(2e-3 * Math.max(1, Math.abs(difference)))
    }
  })

  test('by a classifier: ∇ log softmax of its logits, each sample towards its own class', async () => {
    const classifier = poolingClassifier(networkOf(1))
    const { label } = sourceOf(0).process
    const classes = [2, 0]
    const guide = guideByClassifier(classifier, { classes, label })
    const level = { ...sourceOf(0).process.schedule.level(40), places: [0, 1] }
    using noise = await drawNoise(sourceOf(0), 3, [0, 1])
    const x = await noise.data()
    const logProbabilities = async (at: Float32Array): Promise<number[]> => {
      using given = Tensor.from(at, [2, 3, 8, 8])
      using pass = await classifier.forward(given, [label(level), label(level)])
      const logits = Array.from(await pass.output.data())
      return classes.map((wanted, n) => {
        const own = logits.slice(3 * n, 3 * n + 3)
        return (own[wanted] ?? 0) - Math.log(own.reduce((sum, one) => sum + Math.exp(one), 0))
      })
    }
    using found = await guide(noise, level)
    const gradient = await (found as Tensor<'float32'>).data()
    // Along each sample's gradient, whose length is then the slope: one element alone would drown in what float32 rounds away.
    for (const n of [0, 1]) {
      const own = gradient.map((value, k) => (Math.floor(k / tinyElements) === n ? value : 0))
      const length = Math.hypot(...own)
      expect(length).toBeGreaterThan(1)
      const at = async (by: number): Promise<number> =>
        (await logProbabilities(x.map((value, k) => value + (by * (own[k] ?? 0)) / length)))[n] ?? Number.NaN
      const slope = ((await at(0.02)) - (await at(-0.02))) / 0.04
      expect(Math.abs(slope / length - 1)).toBeLessThan(2e-3)
    }
  })

  test.each(['ddim', { kind: 'rk23', rtol: 0.05, atol: 0.05 }] as const)(
    'know which samples they are asked about: with %j each goes towards its own class, alone and in company',
    async (sampler) => {
      const spacing = { kind: 'karras' } as const
      const of = async (samples: number[], classes: number[]): Promise<Float32Array> => {
        const gradient = guideByClassifier(poolingClassifier(networkOf(1)), { classes })
        return draw({ sampler, spacing, samples, guides: [{ gradient, scale: 20 }] })
      }
      const pair = await of([4, 7], [2, 0])
      expect(pair.slice(tinyElements)).toEqual(await of([7], [0]))
      expect(pair.slice(tinyElements)).not.toEqual(await of([7], [2]))
    },
  )

  test('by a classifier that does not know a class, or is told none of a sample, are refused', async () => {
    const by = (classes: number[]) => guideByClassifier(poolingClassifier(networkOf(1)), { classes })
    await expect(draw({ count: 2, guides: [{ gradient: by([0, 3]) }] })).rejects.toThrow(
      'Expected an index from 0 to 2, the classes that the classifier tells apart, for `classes.1` but received 3.',
    )
    await expect(draw({ count: 2, guides: [{ gradient: by([0]) }] })).rejects.toThrow('`classes.1` but received NaN')
  })

  test('that fail end the run with their own error', async () => {
    const gradient = async (): Promise<Tensor> => {
      throw new Error('the judge is out')
    }
    await expect(draw({ guides: [{ gradient }] })).rejects.toThrow('the judge is out')
  })
})
