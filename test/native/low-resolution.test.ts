/** A super-resolution run: trained on images beside their small pictures, it draws images that have these pictures. */
import { join } from 'node:path'
import sharp from 'sharp'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Images } from '../../lib/images/image-batch.js'
import { shrink } from '../../lib/images/shrink.js'
import { Diffusion, memory, Trainer, type UnetOptions } from '../../lib/index.js'
import { command, makeFolder, readMetrics, tinyOptions, writeIdx } from './command.js'

const folder = makeFolder()
const out = join(folder.path, 'run')
const shape = { channels: 1, height: 8, width: 8 }
const count = 6
/** One of each of six of the ten shapes. */
const chosen = [0, 12, 23, 34, 5, 16]
const images = new Uint8Array(count * 64)
const small = new Uint8Array(count * 16)

beforeAll(async () => {
  writeIdx(folder.path)
  const tiny = tinyOptions(folder.path)
  await using trainer = await Trainer.create({
    ...tiny,
    network: { ...(tiny.network as UnetOptions), classConditional: false, dropout: 0 },
    condition: { kind: 'low-resolution', factor: 2, enlarge: 'nearest' },
    diffusion: { schedule: { kind: 'cosine', steps: 50 }, prediction: 'velocity' },
    training: { batch: 8, learningRate: { peak: 4e-3, warmupSteps: 20, decay: 'cosine' }, averaging: [] },
    budget: { steps: 200 },
    previews: { everySteps: 100, steps: 3, columns: 2, rows: 2 },
    checkpoints: { everySteps: 1000 },
    out,
  })
  await trainer.train()
  await trainer.dataSet.read(chosen, images)
  small.set(Uint8Array.from(chosen.flatMap((_, n) => [...smallOf(images, n)])))
})
afterAll(() => {
  folder.remove()
  expect(memory()).toMatchObject({ tensors: 0, networks: 0, others: 0, bytes: 0, jobs: 0 })
})

function smallOf(values: Uint8Array, n: number): Uint8Array {
  return Uint8Array.from(shrink(values.subarray(64 * n, 64 * (n + 1)), shape, 2), Math.round)
}

/** Root mean squared difference of the small pictures of drawn image n and of wanted image k, of 255. */
function distance(drawn: Images, n: number, k: number): number {
  const [a, b] = [smallOf(drawn.data, n), small.subarray(16 * k, 16 * (k + 1))]
  return Math.sqrt(a.reduce((sum, value, i) => sum + (value - (b[i] ?? 0)) ** 2, 0) / 16)
}

describe('a super-resolution run', () => {
  test('draws images that have the given small pictures, and no others', async () => {
    using model = await Diffusion.load(out)
    const lowResolution = new Images(small, [count, 1, 4, 4])
    const drawn = await model.sample({ count, steps: 20, lowResolution })
    for (let n = 0; n < count; n++) {
      expect(distance(drawn, n, n)).toBeLessThan(15)
      for (let k = 0; k < count; k++) if (k !== n) expect(distance(drawn, n, k)).toBeGreaterThan(30)
    }
  })

  test('takes full pictures as the small ones that they have', async () => {
    using model = await Diffusion.load(out)
    const [whole, halved] = [new Images(images, [count, 1, 8, 8]), new Images(small, [count, 1, 4, 4])]
    const draw = async (lowResolution: Images) => (await model.sample({ count, steps: 5, lowResolution })).data
    const [a, b] = [await draw(whole), await draw(halved)]
    // The small pictures are rounded to bytes, their means are not.
    expect(a.reduce((top, value, i) => Math.max(top, Math.abs(value - (b[i] ?? 0))), 0)).toBeLessThan(12)
  })

  test('draws from a picture file on the command line', async () => {
    const square = { width: 4, height: 4, channels: 1 } as const
    await sharp(small.subarray(16, 32), { raw: square }).png().toFile(join(folder.path, 'small.png'))
    const flags = ['--low-resolution', 'small.png', '--count', '2', '--steps', '20', '--files', '--out', 'large']
    expect(await command(['sample', out, ...flags], folder.path)).toMatchObject({ code: 0 })
    const pixels = await sharp(join(folder.path, 'large', '000001.png'))
      .extractChannel(0)
      .raw()
      .toBuffer()
    const drawn = new Images(Uint8Array.from(pixels), [1, 1, 8, 8])
    for (let k = 0; k < count; k++) {
      if (k === 1) expect(distance(drawn, 0, k)).toBeLessThan(15)
      else expect(distance(drawn, 0, k)).toBeGreaterThan(30)
    }
  })

  test('draws previews of the first images of the data', async () => {
    const { data, info } = await sharp(join(out, 'samples', 'step-00000200.png'))
      .raw()
      .toBuffer({ resolveWithObject: true })
    expect(info.width).toBeGreaterThanOrEqual(16)
    expect(data.some((value) => value > 100)).toBe(true)
    expect(readMetrics(out).at(-1)?.loss).toBeLessThan(0.3)
  })

  test('says what is missing, or does not fit', async () => {
    using model = await Diffusion.load(out)
    await expect(model.sample({ count: 2, steps: 3 })).rejects.toThrow(/give them as `lowResolution`/)
    const odd = new Images(new Uint8Array(9), [1, 1, 3, 3])
    await expect(model.sample({ count: 2, steps: 3, lowResolution: odd })).rejects.toThrow(
      /Expected pictures of 1×4×4, or of 1×8×8 to be made smaller first/,
    )
  })

  test('a network that wants an image which there is not is refused before the run', async () => {
    const tiny = tinyOptions(folder.path)
    const network = { ...(tiny.network as UnetOptions), conditionChannels: 1 }
    await expect(Trainer.create({ ...tiny, network })).rejects.toThrow(/`condition` is "none"/)
  })
})
