/** What diffusers has a word for is written in its words, and comes back; the rest is refused by its name. */
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { diffusersNames } from '../../lib/checkpoints/diffusers/parameter-names.js'
import { readScheduler } from '../../lib/checkpoints/diffusers/scheduler-config.js'
import { unetAsUnet2d } from '../../lib/checkpoints/diffusers/unet-as-unet-2d.js'
import { writeScheduler } from '../../lib/checkpoints/diffusers/write-scheduler.js'
import { createSchedule, parseDiffusion } from '../../lib/diffusion/diffusion-options.js'
import { type UnetOptions, unet } from '../../lib/networks/unet.js'
import { parseOptions } from '../../lib/options/options.js'
import { samplingSchema } from '../../lib/sampling/sampling-defaults.js'

interface Run {
  readonly name: string
  readonly scheduler: string
  readonly config: Readonly<Record<string, unknown>>
}
const url = new URL('../fixtures/diffusers/runs.json', import.meta.url)
const { runs } = JSON.parse(readFileSync(url, 'utf8')) as { readonly runs: readonly Run[] }

const write = (diffusion: object, sampling: object = {}) =>
  writeScheduler(parseDiffusion(diffusion), parseOptions(samplingSchema, sampling, 'test'))

/** Without what is an argument of the call there. */
function configured(sampling: object): object {
  const { sampler, spacing } = parseOptions(samplingSchema, sampling, 'test')
  return { spacing, sampler: sampler?.kind === 'ddim' ? { kind: 'ddim' } : sampler }
}

test('parameters by their names there, in the order of their rows here', () => {
  expect(diffusersNames('middle.attention.qkv.weight', 3)).toEqual([
    'mid_block.attentions.0.to_q.weight',
    'mid_block.attentions.0.to_k.weight',
    'mid_block.attentions.0.to_v.weight',
  ])
  expect(diffusersNames('up.2.attentions.1.cross.qkv.bias', 3)).toEqual([
    'up_blocks.0.attentions.1.attn2.to_q.bias',
    'up_blocks.0.attentions.1.attn2.to_k.bias',
    'up_blocks.0.attentions.1.attn2.to_v.bias',
  ])
})

describe('a scheduler that was read is written again', () => {
  test.each(runs.map((run) => [run.name, run] as const))('%s', (_, { scheduler, config }) => {
    const { diffusion, sampling } = readScheduler({ ...config, _class_name: scheduler }, undefined, 'fixture')
    const written = write(diffusion, sampling)
    const again = readScheduler({ ...written.config, _class_name: written.name }, undefined, 'again')
    expect(again.diffusion).toEqual(diffusion)
    expect(configured(again.sampling)).toEqual(configured(sampling))
  })
})

describe('our own processes in the words of diffusers', () => {
  test('DDPM and what it is called with', () => {
    expect(write({ schedule: { kind: 'linear', steps: 500, scaleToSteps: true } })).toMatchObject({
      name: 'DDPMScheduler',
      config: {
        num_train_timesteps: 500,
        beta_schedule: 'linear',
        beta_start: 2e-4,
        beta_end: 0.04,
        variance_type: 'fixed_large',
        clip_sample: true,
        timestep_spacing: 'trailing',
      },
    })
    expect(write({}, { sampler: { kind: 'ddim', eta: 0.3 }, steps: 20 }).notes.at(-1)).toMatch(
      /num_inference_steps=20, eta=0.3, use_clipped_model_output=True/,
    )
  })

  test.each(['sigmoid', 'constant', { kind: 'cosine', offset: 0.02 }])('%j as a list of betas', (schedule) => {
    const { config } = write({ schedule })
    const betas = config['trained_betas'] as number[]
    const ours = createSchedule(parseDiffusion({ schedule }).schedule)
    const abar = betas.slice(0, 500).reduce((product, beta) => product * (1 - beta), 1)
    expect(abar).toBeCloseTo(ours.level(499).alpha ** 2, 9)
  })

  test.each<[object, object, RegExp]>([
    [{ prediction: 'score' }, {}, /noise, clean, velocity.*`diffusion.prediction` but received "score"/],
    [{ schedule: 'vp-sde', timeLabel: 'thousandths' }, {}, /discrete times for `diffusion.schedule`/],
    [{ schedule: 'ncsn' }, {}, /alpha² \+ sigma² is 1/],
    [{ clip: { kind: 'range', low: 0, high: 1 } }, {}, /"low":-1.*DDPMScheduler.*`diffusion.clip`/],
    [{}, { sampler: 'euler' }, /"kind":"none".*EulerDiscreteScheduler.*`diffusion.clip`/],
    [{ timeLabel: 'fraction' }, {}, /step, .*`diffusion.timeLabel` but received "fraction"/],
    [{}, { sampler: 'rk4' }, /one of ddpm, ddim.*`sampling.sampler` but received "rk4"/],
    [{}, { spacing: 'stride' }, /trailing, linspace for `timestep_spacing` but received "stride"/],
    [{ clip: 'none' }, { sampler: { kind: 'unipc', corrector: false } }, /`sampling.sampler`/],
    [{ clip: 'none' }, { sampler: 'dpm++2m', spacing: 'linspace' }, /"dropCleanest":true.*`sampling.spacing`/],
  ])('%j with %j is refused', (diffusion, sampling, message) => {
    expect(() => write(diffusion, sampling)).toThrow(message)
  })
})

describe('unet in the words of UNet2DModel', () => {
  const image = { channels: 3, height: 16, width: 16 }
  const small = { kind: 'unet', channels: 16, multipliers: [1, 2], groups: 8, attentionResolutions: [8] } as const
  const as = (options: Partial<UnetOptions>) =>
    unetAsUnet2d(unet.options.parse({ ...small, multipliers: [...small.multipliers], ...options }), image)

  test.each<[Partial<UnetOptions>, RegExp]>([
    [{ inputMultiplier: 2 }, /1 for `network.inputMultiplier`/],
    [{ multipliers: [2, 2] }, /begin with 1 for `network.multipliers`/],
    [{ decoderAttention: 'last' }, /every, or no attention for `network.decoderAttention`/],
    [{ heads: 2, attentionResolutions: [16] }, /`network.heads` but received 2/],
    [{ headLayout: 'interleaved', heads: 2 }, /split, or one head, for `network.headLayout`/],
    [{ timeEmbedding: 'wavegrad' }, /`network.timeEmbedding` but received "wavegrad"/],
    [{ resampling: 'pool' }, /convolution or residual for `network.resampling`/],
    [{ fourierFeatures: [6] }, /none for `network.fourierFeatures`/],
    [{ skipScale: 0.5 }, /1 for `network.skipScale`/],
    [{ groups: 32 }, /32 groups to every norm for `network.minimumGroupChannels`/],
    [{ augmentLabels: 9 }, /0 for `network.augmentLabels`/],
    [{ nullClassEmbedding: 'zero', classConditional: true }, /learned for `network.nullClassEmbedding`/],
  ])('%j is refused', (options, message) => {
    expect(() => as(options)).toThrow(message)
  })

  test('what has no effect is no difference', () => {
    expect(as({ headLayout: 'interleaved' })).toMatchObject({ attentionHeadDim: null })
    expect(as({ heads: 4 })).toMatchObject({ attentionHeadDim: 8 })
    expect(as({ decoderAttention: 'last', attentionResolutions: [] })).toMatchObject({
      downBlockTypes: ['DownBlock2D', 'DownBlock2D'],
    })
    expect(as({ nullClassEmbedding: 'zero' })).toMatchObject({ classConditional: false })
  })
})
