/** Folders of diffusers: imported, they compute and draw what diffusers does. */
import { readFileSync } from 'node:fs'
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import * as z from 'zod'
import { writeCheckpointTo } from '../../lib/checkpoints/checkpoint.js'
import { optionsOfConfig, unetConfigSchema } from '../../lib/checkpoints/diffusers/unet-config.js'
import { exportCheckpoint } from '../../lib/checkpoints/export/export-checkpoint.js'
import { importCheckpoint } from '../../lib/checkpoints/import/import-checkpoint.js'
import type { JsonObject } from '../../lib/checkpoints/migrations.js'
import { SafetensorsFile } from '../../lib/checkpoints/safetensors.js'
import { Diffusion } from '../../lib/generation/diffusion.js'
import type { GenerateOptions } from '../../lib/generation/generate.js'
import { Network } from '../../lib/networks/network.js'
import { Tensor } from '../../lib/tensor/tensor.js'
import { digest, stateDict, weightsFile, writeFolder } from './diffusers-folder.js'
import {
  decodeFloats,
  distance,
  drawImages,
  drawParameter,
  networkFixtureNames,
  readNetworkFixture,
} from './network-fixture.js'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dpm-diffusers-'))
})
afterAll(() => rm(folder, { recursive: true }))

const read = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`../fixtures/diffusers/${name}.json`, import.meta.url), 'utf8'))

const jsonOf = (path: string): Readonly<Record<string, unknown>> => JSON.parse(readFileSync(path, 'utf8'))

const index = (pipeline: string, scheduler: string) => ({
  _class_name: pipeline,
  scheduler: ['diffusers', scheduler],
  unet: ['diffusers', 'UNet2DModel'],
})

const names = z.record(z.string(), z.string()).parse(read('names'))
const drawn = networkFixtureNames('unet-2d').filter((name) => name.startsWith('random-'))

describe.each(drawn)('a UNet2DModel of a configuration drawn at random: %s', (name) => {
  const fixture = readNetworkFixture('unet-2d', name)
  const levels = z.array(z.string()).parse(fixture.config?.['up_block_types']).length
  const state = stateDict(fixture.parameters, levels)

  test('has the tensors that diffusers names', () => {
    expect(digest(state)).toBe(names[name])
  })

  test('computes the same once imported', async () => {
    const source = await writeFolder(join(folder, name), {
      'model_index.json': index('DDPMPipeline', 'DDPMScheduler'),
      'scheduler/scheduler_config.json': { _class_name: 'DDPMScheduler' },
      'unet/config.json': fixture.config ?? {},
      [`unet/${weightsFile}`]: state,
    })
    const out = join(folder, `${name}.safetensors`)
    expect(await importCheckpoint(source, { out })).toMatchObject({ format: 'diffusers', notes: [] })
    using model = await Diffusion.load(out, { device: 'cpu' })
    const { channels, height, width } = fixture.image
    const shape = [fixture.labels.length, channels, height, width]
    using x = Tensor.from(drawImages('input', shape) as Float32Array<ArrayBuffer>, shape)
    using pass = await model.network.forward(x, fixture.labels, {
      ...(fixture.classIndices ? { classes: fixture.classIndices } : {}),
      gradient: false,
    })
    using output = pass.output
    const { l2, largest } = distance(await output.data(), decodeFloats(fixture.output))
    expect(Math.max(l2, largest)).toBeLessThan(1e-5)
  })

  test('is exported as it was', async () => {
    const exported = join(folder, `${name}-exported`)
    const run = exportCheckpoint(join(folder, `${name}.safetensors`), { out: exported, format: 'diffusers' })
    const { height, width } = fixture.image
    if (height % 2 ** (levels - 1) !== 0 || width % 2 ** (levels - 1) !== 0) {
      // UNet2DModel itself cannot run these sizes.
      await expect(run).rejects.toThrow(/multiples of .* for `image`/)
      await expect(stat(exported)).rejects.toThrow(/ENOENT/)
      return
    }
    await run
    const { _diffusers_version: _, ...theirs } = fixture.config ?? {}
    const config = jsonOf(join(exported, 'unet/config.json'))
    expect({ ...config, sample_size: [height, width] }).toEqual(theirs)
    await using file = await SafetensorsFile.open(join(exported, `unet/${weightsFile}`))
    expect(digest(file.tensors)).toBe(names[name])
    for (const [tensor, { values }] of state) {
      const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
      expect(Buffer.from(bytes).equals(await file.readTensor(tensor)), tensor).toBe(true)
    }
  })
})

describe.each(['diffusers-ddpm', 'diffusers-default', 'diffusers-residual'])(
  'our unet as a UNet2DModel: %s',
  (name) => {
    test('computes the same once exported', async () => {
      const { settings, image, classes, parameters, labels, classIndices, output } = readNetworkFixture('unet', name)
      const checkpoint = join(folder, `${name}.safetensors`)
      await writeCheckpointTo(checkpoint, {
        settings: { name, network: settings as JsonObject, diffusion: {}, sampling: { sampler: 'ddim', steps: 20 } },
        progress: { step: 1 },
        classes: Array.from({ length: classes }, (_, index) => String(index)),
        image,
        tensors: parameters.map(({ name: parameter, shape }) => ({
          name: `network.${parameter}`,
          dtype: 'float32' as const,
          shape,
          read: async () => new Uint8Array(drawParameter(parameter, shape).buffer),
        })),
      })
      const out = join(folder, name)
      const { notes } = await exportCheckpoint(checkpoint, { out, format: 'diffusers' })
      expect(notes.join(' ')).toMatch(/num_inference_steps=20, use_clipped_model_output=True/)
      expect(jsonOf(join(out, 'model_index.json'))).toMatchObject({ _class_name: 'DDIMPipeline' })
      const again = join(folder, `${name}-again.safetensors`)
      expect((await importCheckpoint(out, { out: again })).settings.network.kind).toBe('unet-2d')
      using model = await Diffusion.load(again, { device: 'cpu' })
      const shape = [labels.length, image.channels, image.height, image.width]
      using x = Tensor.from(drawImages('input', shape) as Float32Array<ArrayBuffer>, shape)
      using pass = await model.network.forward(x, labels, {
        ...(classIndices ? { classes: classIndices } : {}),
        gradient: false,
      })
      using computed = pass.output
      expect(distance(await computed.data(), decodeFloats(output)).largest).toBeLessThan(1e-5)
      // A folder with something in it is not written into.
      await expect(exportCheckpoint(checkpoint, { out, format: 'diffusers' })).rejects.toThrow(/empty folder for `out`/)
    })
  },
)

const runsSchema = z.strictObject({
  seed: z.int(),
  samples: z.array(z.int()),
  outputGain: z.number(),
  unet: z.record(z.string(), z.unknown()),
  runs: z.array(
    z.strictObject({
      name: z.string(),
      scheduler: z.string(),
      steps: z.int(),
      /** What is changed of the network's configuration. */
      unet: z.record(z.string(), z.unknown()),
      /** Arguments of the scheduler's `step`. */
      call: z.strictObject({ eta: z.number().optional(), use_clipped_model_output: z.boolean().optional() }),
      config: z.record(z.string(), z.unknown()),
      images: z.base64(),
    }),
  ),
})
const { seed, samples, outputGain, unet, runs } = runsSchema.parse(read('runs'))

/** What the folder cannot say: diffusers is told it in every call. */
function called({ call }: (typeof runs)[number]): GenerateOptions {
  const { eta = 0, use_clipped_model_output: isClipped = false } = call
  if (Object.keys(call).length === 0) return {}
  return { sampler: { kind: 'ddim', eta, direction: isClipped ? 'clipped' : 'unclipped' } }
}

describe('a run from one start ends in the image of diffusers', () => {
  test.each(runs.map((run) => [run.name, run] as const))('%s', async (name, run) => {
    const config = { ...unet, ...run.unet }
    const parsed = unetConfigSchema.parse(config)
    const { kind: _, ...options } = optionsOfConfig(parsed)
    const parameters = await Network.describe('unet-2d', options, {
      image: { channels: 3, height: 8, width: 8 },
      outputs: parsed.out_channels === 6 ? 2 : 1,
    })
    const source = await writeFolder(join(folder, name), {
      'scheduler/scheduler_config.json': { _class_name: run.scheduler, ...run.config },
      'unet/config.json': config,
      [`unet/${weightsFile}`]: stateDict(parameters, 2, outputGain),
    })
    const out = join(folder, `${name}.safetensors`)
    await importCheckpoint(source, { out })
    using model = await Diffusion.load(out, { device: 'cpu' })
    const asked = called(run)
    // Another sampler takes nothing of the model's own; the kind is the same here.
    const steps = model.sampleSteps({ ...asked, seed, samples, steps: run.steps, count: samples.length })
    let last = new Float32Array()
    for (;;) {
      const next = await steps.next()
      if (next.done) break
      using x = next.value.x
      using clean = next.value.clean
      last = await x.data()
      expect(clean.shape).toEqual(x.shape)
    }
    expect(distance(last, decodeFloats(run.images)).largest).toBeLessThan(1e-4)
  })
})
