/** A published recipe made small: a tiny U-Net on grey clothes of 16×16, a few hundred updates; and its first batch in float64. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createBatches } from '../../lib/datasets/batches.js'
import { type DataSettings, dataSchema, openDataSet } from '../../lib/datasets/list.js'
import { type Coupling, couplings, type Pairing } from '../../lib/diffusion/coupling.js'
import { shrink } from '../../lib/images/shrink.js'
import { Tensor, type Trainer } from '../../lib/index.js'
import { type Row, rowFields } from '../../lib/native/binding.js'
import { normals } from '../../lib/random/philox.js'
import { overlay, readRecipe } from '../../lib/training/recipes.js'
import { type RunSettings, runOptions } from '../../lib/training/run-options.js'
import { observation } from '../unit/observations.js'
import { referenceLoss } from '../unit/reference-loss.js'

const { findFashionMnist } = (await import(new URL('../../scripts/fashion-mnist.mjs', import.meta.url).href)) as {
  findFashionMnist(): Promise<{ folder: string } | { reason: string }>
}

/** Where Fashion-MNIST is, or why it is not. */
export const clothes = await findFashionMnist()
if ('reason' in clothes) console.warn(`Skipped: Fashion-MNIST is not to be had: ${clothes.reason}.`)

const count = 4000
const size = 16
const batch = 16

/** Writes the first test images at half their size as an IDX file. @returns the settings of that data. */
export async function writeSmallClothes(folder: string): Promise<DataSettings> {
  const fashion = 'folder' in clothes ? clothes.folder : ''
  const settings = { kind: 'idx', folder: fashion, split: 'test', padding: 2, names: 'fashion' } as const
  const whole = await openDataSet(dataSchema.parse(settings))
  const large = new Uint8Array(count * whole.height * whole.width)
  await whole.read(
    Array.from({ length: count }, (_, index) => index),
    large,
  )
  await whole.close()
  // The images one above the other are one tall image.
  const small = shrink(large, { channels: 1, height: count * whole.height, width: whole.width }, 2)
  const file = Buffer.alloc(16 + small.length)
  for (const [index, value] of [0x803, count, size, size].entries()) file.writeUInt32BE(value, 4 * index)
  file.set(Uint8Array.from(small, Math.round), 16)
  const images = join(folder, 'clothes-idx3-ubyte')
  writeFileSync(images, file)
  return dataSchema.parse({ kind: 'idx', images })
}

/** A recipe's own diffusion process and optimizer with a network, batches and a budget for seconds. */
export function shortRun(recipe: string, data: DataSettings, changes: Readonly<Record<string, unknown>>): RunSettings {
  const { network, budget: _, ...rest } = readRecipe(recipe)
  const small = {
    data,
    network: {
      kind: 'unet',
      channels: 16,
      multipliers: [1, 2],
      blocks: 1,
      attentionResolutions: [],
      middleAttention: false,
      heads: 1,
      headChannels: null,
      groups: 4,
      dropout: 0,
      // Not 0, or the first batch would say nothing of the network.
      zeroLayers: 'none',
    },
    training: {
      batch,
      flip: false,
      learningRate: { peak: 4e-3, warmupSteps: 20, decay: 'cosine' },
      clipNorm: 1,
      averaging: [],
    },
    budget: { steps: 160 },
    previews: { everySteps: 0 },
    device: 'cpu',
  }
  return runOptions.parse(
    overlay(overlay({ network, ...rest } as unknown as Readonly<Record<string, unknown>>, small), changes),
    recipe,
  )
}

/** The noise of each image. */
function dealt(coupling: Coupling, clean: Float64Array, noises: readonly Float64Array[]): readonly Float64Array[] {
  const pairing: Pairing | undefined = couplings[coupling]
  if (!pairing) return noises
  const elements = clean.length / noises.length
  const costs = noises.flatMap((_, n) =>
    noises.map((noise) => noise.reduce((sum, value, i) => sum + ((clean[n * elements + i] ?? 0) - value) ** 2, 0)),
  )
  const work = pairing(costs, noises.length)
  for (;;) {
    const { done, value } = work.next()
    if (done) return Array.from(value, (noise) => noises[noise] ?? new Float64Array())
  }
}

/** The first batch's loss, and what a network that answers 0 would have. */
export interface FirstLoss {
  readonly loss: number
  readonly silent: number
}

/** The loss of the first batch before any update: rows, noise, mixing and loss in float64, the network's output native. */
export async function firstLoss(trainer: Trainer): Promise<FirstLoss> {
  const { settings, dataSet, process, network } = trainer
  const batches = createBatches(dataSet, { batch, seed: Number(settings.seed), prefetch: 0 })
  const { value: first } = await batches.next()
  await batches.return(undefined as never)
  const drawn = process.objective.draw({
    seed: Number(settings.seed),
    step: 0,
    epochs: first.epochs,
    examples: first.indices,
  })
  const columns = drawn.rows
  const rows = Array.from({ length: batch }, (_, n) =>
    Object.fromEntries(rowFields.map((field, column) => [field, columns[n * rowFields.length + column] ?? 0])),
  ) as Row[]
  const elements = size * size
  const clean = Float64Array.from(first.images, (byte) => byte / 127.5 - 1)
  const own = rows.map((_, n) =>
    normals(Number(settings.seed), 'training', first.epochs[n] ?? 0, first.indices[n] ?? 0, elements),
  )
  const noise = dealt(settings.diffusion.coupling, clean, own)
  const x = new Float32Array(batch * elements)
  rows.forEach(({ cIn, alpha, sigma }, n) => {
    for (let i = 0; i < elements; i++) {
      x[n * elements + i] = cIn * (alpha * (clean[n * elements + i] ?? 0) + sigma * (noise[n]?.[i] ?? 0))
    }
  })
  using given = Tensor.from(x, [batch, 1, size, size])
  using pass = await network.forward(
    given,
    rows.map(({ cNoise }) => cNoise),
    { gradient: false },
  )
  const output = await pass.output.data()
  const each = output.length / batch
  const { loss, lossScale } = settings.diffusion
  if (loss === 'sliced' || loss === 'cross-entropy') throw new Error(`no reference for the loss "${loss}"`)
  const mean = (said: (n: number) => ArrayLike<number>): number =>
    rows.reduce((sum, row, n) => {
      const parts = { row, clean: clean.subarray(n * elements, (n + 1) * elements), noise: noise[n] ?? [] }
      return sum + referenceLoss({ ...parts, output: said(n), loss, lossScale }).weighted / batch
    }, 0)
  const values = new Float64Array(256)
  for (const value of first.images) values[value] = (values[value] ?? 0) + 1 / first.images.length
  const seen = observation({ ...drawn, losses: new Float64Array(batch), values: () => values })
  const learned = process.learners.reduce((sum, learner) => sum + (learner.lossOf?.(seen) ?? 0), 0)
  return {
    loss: learned + mean((n) => output.subarray(n * each, (n + 1) * each)),
    silent: learned + mean(() => new Float64Array(each)),
  }
}
