/** The forms that folders of diffusers have, and what of them is refused. That they compute the same is `test/parity/diffusers.test.ts`. */
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { formerName } from '../../lib/checkpoints/diffusers/parameter-names.js'
import { type ImportReport, importCheckpoint } from '../../lib/checkpoints/import/import-checkpoint.js'
import { Diffusion } from '../../lib/generation/diffusion.js'
import { Network } from '../../lib/networks/network.js'
import { parseAssignment } from '../../lib/options/assign.js'
import { type StateTensor, stateDict, weightsFile, writeFolder } from '../parity/diffusers-folder.js'
import { drawParameter } from '../parity/network-fixture.js'
import { SavedTensor, torchZip } from '../unit/torch-writer.js'

const unet = {
  _class_name: 'UNet2DModel',
  sample_size: 8,
  block_out_channels: [8, 16],
  down_block_types: ['DownBlock2D', 'AttnDownBlock2D'],
  up_block_types: ['AttnUpBlock2D', 'UpBlock2D'],
  layers_per_block: 1,
  norm_num_groups: 4,
}
const ddpm = { _class_name: 'DDPMScheduler', num_train_timesteps: 50, beta_end: 0.3 }
const pipeline = {
  _class_name: 'DDPMPipeline',
  _diffusers_version: '0.30.0',
  scheduler: ['diffusers', 'DDPMScheduler'],
  unet: ['diffusers', 'UNet2DModel'],
}

let folder: string
let state: Map<string, StateTensor>
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dpm-import-diffusers-'))
  const { block_out_channels: blockOutChannels } = unet
  const parameters = await Network.describe(
    'unet-2d',
    {
      blockOutChannels,
      downBlockTypes: ['DownBlock2D', 'AttnDownBlock2D'],
      upBlockTypes: ['AttnUpBlock2D', 'UpBlock2D'],
      layersPerBlock: 1,
      normNumGroups: 4,
    },
    { image: { channels: 3, height: 8, width: 8 } },
  )
  state = stateDict(parameters, 2)
})
afterAll(() => rm(folder, { recursive: true }))

let made = 0
async function imported(files: Readonly<Record<string, object>>, ...set: string[]): Promise<ImportReport> {
  const source = await writeFolder(join(folder, String(made++)), files)
  return importCheckpoint(source, { out: `${source}.safetensors`, set: set.map(parseAssignment) })
}

const whole = (): Readonly<Record<string, object>> => ({
  'model_index.json': pipeline,
  'scheduler/scheduler_config.json': ddpm,
  'unet/config.json': unet,
  [`unet/${weightsFile}`]: state,
})

/** What a parameter of an imported model is, in every copy. */
async function firstOf({ path }: ImportReport, name: string, weights?: 'trained'): Promise<number> {
  using model = await Diffusion.load(path, { device: 'cpu', ...(weights ? { weights } : {}) })
  using parameter = await model.network.read(name)
  return (await parameter.data())[0] ?? Number.NaN
}

const query = 'middle.attention.qkv.weight'
const drawn = drawParameter(query, [48, 16])[0] ?? 0

describe('a folder is imported', () => {
  test('with its schedule and its way of sampling', async () => {
    const report = await imported(whole())
    expect(report.settings).toMatchObject({
      diffusion: {
        schedule: { kind: 'linear', steps: 50, betaEnd: 0.3 },
        prediction: { kind: 'noise' },
        variance: 'fixed-small',
        clip: { kind: 'range', low: -1, high: 1 },
      },
      sampling: { sampler: { kind: 'ddpm' }, steps: 50, spacing: { kind: 'leading', offset: 0 } },
    })
    using model = await Diffusion.load(report.path, { device: 'cpu' })
    expect(model.record()).toMatchObject({ name: 'ddpm', steps: 50 })
    expect((await model.sample({ count: 1, steps: 2 })).length).toBe(1)
  })

  test('with everything in one folder, and weights of PyTorch under the names before 0.13', async () => {
    const former = new Map(
      [...state].map(([name, { shape, values }]) => [formerName(name), new SavedTensor(values, shape)]),
    )
    expect(former.has('mid_block.attentions.0.query.weight')).toBe(true)
    const report = await imported({
      'model_index.json': pipeline,
      'scheduler_config.json': ddpm,
      'config.json': unet,
      'diffusion_pytorch_model.bin': torchZip(former as never),
    })
    expect(await firstOf(report, query)).toBe(drawn)
  })

  test('with weights in several files', async () => {
    const entries = [...state]
    const shards = { 'one.safetensors': entries.slice(0, 20), 'two.safetensors': entries.slice(20) }
    const map = Object.entries(shards).flatMap(([file, part]) => part.map(([name]) => [name, file]))
    const files = Object.entries(shards).map(([file, part]) => [file, new Map(part)])
    const report = await imported(
      {
        'config.json': unet,
        'diffusion_pytorch_model.safetensors.index.json': { weight_map: Object.fromEntries(map) },
        ...Object.fromEntries(files),
      },
      'noiseSchedule=cosine',
      'diffusionSteps=20',
      'prediction=velocity',
    )
    expect(await firstOf(report, query)).toBe(drawn)
    expect(report.settings.diffusion).toMatchObject({
      schedule: { kind: 'cosine', steps: 20 },
      prediction: { kind: 'velocity' },
    })
  })

  test('with the average that the training script keeps', async () => {
    const half = new Map(
      [...state].map(([name, { shape, values }]) => [name, { shape, values: values.map((one) => one / 2) }]),
    )
    const report = await imported({
      ...whole(),
      'unet_ema/config.json': { ...unet, decay: 0.9999, optimization_step: 123 },
      [`unet_ema/${weightsFile}`]: half,
    })
    expect(report).toMatchObject({ copies: ['network', 'average.0'], settings: { step: 123 } })
    expect(await firstOf(report, query)).toBe(drawn / 2)
    expect(await firstOf(report, query, 'trained')).toBe(drawn)
  })

  test("with a note of what is otherwise here, or not read there; -Infinity is Python's JSON", async () => {
    const solver =
      '{"_class_name":"DPMSolverMultistepScheduler","lambda_min_clipped":-Infinity,"use_karras_sigmas":true,"skip":"-Infinity"}'
    const report = await imported({
      ...whole(),
      'scheduler/scheduler_config.json': Buffer.from(solver),
      'unet/config.json': { ...unet, stray: 1 },
    })
    expect(report.notes).toEqual([
      'config.json has what UNet2DModel does not read: stray.',
      "The scheduler's configuration has what DPMSolverMultistepScheduler does not read: skip.",
    ])
    // diffusers tells the network the nearest whole times, and so does this run.
    expect(report.settings.sampling).toMatchObject({
      sampler: { kind: 'dpm++2m' },
      spacing: { kind: 'karras', times: 'nearest' },
      finalLevel: 'clean',
    })
  })
})

describe('a folder is refused', () => {
  const scheduler = (config: object) => () => ({
    ...whole(),
    'scheduler/scheduler_config.json': { ...ddpm, ...config },
  })
  const network = (config: object) => () => ({ ...whole(), 'unet/config.json': { ...unet, ...config } })
  const parts = (more: object) => () => ({ ...whole(), 'model_index.json': { ...pipeline, ...more } })

  test.each<[string, () => Readonly<Record<string, object>>, RegExp]>([
    [
      'codes of a VQ-VAE',
      parts({ _class_name: 'LDMPipeline', vqvae: ['diffusers', 'VQModel'] }),
      /LDMPipeline.*its VQ-VAE makes images/,
    ],
    ['a text', parts({ text_encoder: ['transformers', 'CLIPTextModel'] }), /told a text/],
    [
      'no U-Net',
      parts({ unet: undefined, transformer: ['diffusers', 'DiT'] }),
      /has no unet, but scheduler, transformer/,
    ],
    ['another network', network({ _class_name: 'UNet2DConditionModel' }), /Expected UNet2DModel for `_class_name`/],
    ['an embedding for a class', network({ class_embed_type: 'identity' }), /null or timestep \(identity is told/],
    ['two images', network({ in_channels: 6 }), /6 \(as in_channels\).*for `out_channels` but received 3/],
    ['a variance that nobody reads', network({ out_channels: 6 }), /Expected 3, .*for `out_channels` but received 6/],
    ['an unknown block', network({ down_block_types: ['CrossAttnDownBlock2D', 'DownBlock2D'] }), /attends to a text/],
    [
      'weights that are missing',
      () => ({ 'config.json': unet, 'scheduler_config.json': ddpm }),
      /none of diffusion_pytorch_model.safetensors/,
    ],
    [
      'weights outside of the folder',
      () => ({
        'config.json': unet,
        'scheduler_config.json': ddpm,
        'diffusion_pytorch_model.bin.index.json': { weight_map: { 'conv_in.weight': '../x.bin' } },
      }),
      /outside of its folder/,
    ],
    [
      'a scheduler of another kind',
      scheduler({ _class_name: 'KarrasVeScheduler' }),
      /one of DDPMScheduler, .*"KarrasVeScheduler" \(its levels.*--set noiseSchedule/,
    ],
    [
      'betas of another kind',
      scheduler({ beta_schedule: 'laplace' }),
      /one of linear, .*`beta_schedule` but received "laplace"/,
    ],
    [
      'an end that is none',
      scheduler({ _class_name: 'EulerDiscreteScheduler', final_sigmas_type: 'none' }),
      /zero, sigma_min.*`final_sigmas_type` but received "none"/,
    ],
    [
      'a variance as it stands',
      scheduler({ variance_type: 'learned' }),
      /fixed_small.*`variance_type` but received "learned"/,
    ],
    [
      'flow',
      scheduler({ _class_name: 'UniPCMultistepScheduler', prediction_type: 'flow_prediction' }),
      /epsilon, sample, v_prediction.*"flow_prediction"/,
    ],
    [
      "EDM's scaling",
      scheduler({ _class_name: 'EulerDiscreteScheduler', timestep_type: 'continuous' }),
      /discrete.*`timestep_type`, received "continuous"/,
    ],
    [
      'a clean end of a solver in the noise',
      scheduler({ _class_name: 'DPMSolverMultistepScheduler', algorithm_type: 'dpmsolver', final_sigmas_type: 'zero' }),
      /sigma_min where the solver is in the noise/,
    ],
    [
      'the third order of the SDE in the noise',
      scheduler({ _class_name: 'DPMSolverMultistepScheduler', solver_order: 3, algorithm_type: 'sde-dpmsolver' }),
      /1 or 2 with algorithm_type/,
    ],
    [
      'betas of another number',
      scheduler({ trained_betas: [0.1, 0.2] }),
      /50 betas.*`trained_betas` but received "2 betas"/,
    ],
  ])('that has %s', async (_, files, message) => {
    const written = (): Promise<string[]> =>
      readdir(folder).then((names) => names.filter((name) => name.endsWith('.safetensors')))
    const before = await written()
    await expect(imported(files())).rejects.toThrow(message)
    expect(await written()).toEqual(before)
  })

  test('until what it does not hold is said', async () => {
    const bare = { 'config.json': { ...unet, sample_size: null }, [weightsFile]: state }
    await expect(imported(bare)).rejects.toMatchObject({ details: { options: ['imageSize'] } })
    await expect(imported(bare, 'imageSize=8')).rejects.toMatchObject({
      details: { options: ['noiseSchedule', 'diffusionSteps', 'prediction'] },
    })
  })
})
