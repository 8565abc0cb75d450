/**
 * Checkpoints of yang-song/score_sde_pytorch (Song et al. 2021, arXiv 2011.13456): `model` with `module.` before its names,
 * `ema.shadow_params`, a list without names in the order of the model's trained parameters, and `step`. Models `ddpm` under the
 * VP and sub-VP SDE, whose network predicts the noise.
 */
import * as z from 'zod'
import { DpmError } from '../../errors.js'
import { type TensorArchive, under, type Weights } from '../archives/tensor-archive.js'
import { asked, defineImport } from './define-import.js'
import { readScoreSdeDdpm } from './score-sde-ddpm.js'

export const scoreSde = defineImport({
  name: 'score-sde',
  description: 'checkpoint_*.pth of yang-song/score_sde_pytorch: model `ddpm` under the VP or sub-VP SDE',
  options: z.strictObject({
    imageSize: z.int().min(1).optional().describe('data.image_size'),
    sde: z.enum(['vpsde', 'subvpsde']).optional().describe('training.sde'),
    continuous: z.boolean().optional().describe('training.continuous'),
    betaMin: z.number().positive().default(0.1).describe('model.beta_min'),
    betaMax: z.number().positive().default(20).describe('model.beta_max'),
    dropout: z.number().min(0).lt(1).default(0).describe('model.dropout, for training on'),
  }),
  async recognises(source) {
    if (source.isFolder) return false
    const { tensors } = await source.archive()
    return (
      tensors.has('ema.shadow_params.0') &&
      [...tensors.keys()].some((name) => /^model\.(module\.)?all_modules\./.test(name))
    )
  },
  async read(source, { betaMin, betaMax, dropout, ...options }) {
    const archive = await source.archive()
    const trained = trainedWeights(archive)
    const found = readScoreSdeDdpm(trained, archive.path)
    const { imageSize, sde } = asked({
      imageSize: { value: options.imageSize, about: 'height and width of the images (data.image_size)' },
      sde: { value: options.sde, about: 'vpsde or subvpsde (training.sde)' },
      continuous: {
        value: options.sde === 'subvpsde' ? true : options.continuous,
        about: 'whether it was trained in continuous time (training.continuous), true or false',
      },
    })
    const isContinuous = sde === 'subvpsde' || options.continuous === true
    const rates = { betaMin, betaMax }
    return {
      network: { ...found.network(imageSize), dropout },
      diffusion: {
        schedule: isContinuous
          ? { kind: sde === 'subvpsde' ? 'sub-vp-sde' : 'vp-sde', ...rates }
          : // Their 1000 steps of the VP SDE: beta / 1000 on a straight line.
            { kind: 'linear', steps: 1000, betaStart: betaMin / 1000, betaEnd: betaMax / 1000 },
        prediction: 'noise',
        variance: isContinuous ? 'fixed-small' : 'fixed-large',
        timeLabel: 'zero-to-999',
      },
      image: { channels: found.imageChannels, height: imageSize, width: imageSize },
      step: Number(archive.values.get('step') ?? 0),
      trained,
      averages: [averagedWeights(archive, trained)],
      piece: ({ name }) => found.piece(name),
      isUnused: isBuffer,
    }
  },
})

/** Where the model was not run in parallel, its names have no `module.` before them. */
function trainedWeights({ tensors }: TensorArchive): Weights {
  return under(
    tensors,
    [...tensors.keys()].some((name) => name.startsWith('model.module.')) ? 'model.module.' : 'model.',
  )
}

/** Not among the model's parameters: noise levels, which follow from the configuration. */
function isBuffer(name: string): boolean {
  return name === 'sigmas'
}

function averagedWeights({ path, tensors }: TensorArchive, trained: Weights): Weights {
  const shadows = under(tensors, 'ema.shadow_params.')
  const names = [...trained.keys()].filter((name) => !isBuffer(name))
  if (shadows.size !== names.length) {
    throw invalid(path, `it has ${names.length} parameters and ${shadows.size} averages of them`)
  }
  return new Map(
    names.map((name, index) => {
      const shadow = shadows.get(String(index))
      const wanted = trained.get(name)?.shape.join('×')
      if (shadow?.shape.join('×') === wanted && shadow) return [name, shadow]
      throw invalid(path, `average ${index} has shape ${shadow?.shape.join('×')}, and ${name} has ${wanted}`)
    }),
  )
}

function invalid(path: string, reason: string): DpmError {
  return new DpmError('DPM_FILE_INVALID', `${JSON.stringify(path)} is no usable checkpoint of score-SDE: ${reason}.`, {
    details: { path },
  })
}
