/** Two small networks of one process to draw with, for the length of a test file. */
import { afterAll, beforeAll } from 'vitest'
import { createProcess, parseDiffusion } from '../../lib/diffusion/diffusion-options.js'
import { type GenerateOptions, type Source, startGeneration } from '../../lib/generation/generate.js'
import { Network } from '../../lib/networks/network.js'
import { tinyImage } from './tiny-unet.js'

export interface TinySources {
  networkOf(index: number): Network
  sourceOf(index: number): Source
  /** What a run gives: numbers of all images. */
  draw(options: GenerateOptions, source?: Source): Promise<Float32Array>
}

export function holdSources(): TinySources {
  const networks: Network[] = []
  const sources: Source[] = []

  beforeAll(async () => {
    for (const seed of [1, 2]) {
      const network = await Network.create(
        'unet',
        { channels: 8, multipliers: [1, 2], blocks: 1, attentionResolutions: [4], groups: 4, zeroLayers: 'none' },
        { image: tinyImage, seed, device: 'cpu' },
      )
      networks.push(network)
      sources.push({
        network: network.handle,
        device: 'cpu',
        precision: 'float32',
        process: createProcess(
          parseDiffusion({ schedule: { kind: 'cosine', steps: 100 }, prediction: 'velocity', clip: { kind: 'none' } }),
        ),
        image: tinyImage,
        classes: [],
        nullClass: false,
        conditionChannels: 0,
      })
    }
  })
  afterAll(() => {
    for (const network of networks) network.dispose()
  })

  function networkOf(index: number): Network {
    const network = networks[index]
    if (!network) throw new Error(`no network ${index}`)
    return network
  }

  function sourceOf(index: number): Source {
    const source = sources[index]
    if (!source) throw new Error(`no source ${index}`)
    return source
  }

  async function draw(options: GenerateOptions, source = sourceOf(0)): Promise<Float32Array> {
    using generation = await startGeneration(source, { steps: 8, chunk: 2, ...options })
    await generation.run.advance(Number.POSITIVE_INFINITY, { signal: undefined })
    using output = await generation.run.read('output')
    return output.data()
  }

  return { networkOf, sourceOf, draw }
}
