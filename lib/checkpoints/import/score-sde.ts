/**
 * Checkpoints of yang-song/score_sde_pytorch (Song et al. 2021, arXiv 2011.13456): `model` with `module.` before its names,
 * `ema.shadow_params`, a list without names in the order of the model's trained parameters, and `step`. Models `ddpm` and `ncsnpp`
 * (DDPM++, NCSN++).
 *
 * Under the VP and sub-VP SDE the network predicts the noise, and is told 999 t. Under the VE SDE its images are in [0, 1], where ours
 * are in [-1, 1]: our sigma is twice theirs, which is what the network is told. Divided by sigma, as the output of NCSN++ is, the
 * score has no such factor; undivided ours is half of theirs.
 */
import * as z from 'zod'
import type { DiffusionOptions } from '../../diffusion/diffusion-options.js'
import { DpmError } from '../../errors.js'
import type { NetworkOptions } from '../../networks/list.js'
import { type TensorArchive, under, type Weights } from '../archives/tensor-archive.js'
import { type Copies, copyOption, findCopies, holdsCopy, type NetworkNames } from './copies.js'
import { asked, defineImport } from './define-import.js'
import type { Piece } from './pieces.js'
import { readScoreSdeDdpm } from './score-sde-ddpm.js'
import { isScoreSdeNcsnpp, readScoreSdeNcsnpp } from './score-sde-ncsnpp.js'

const schema = z.strictObject({
  ...copyOption,
  imageSize: z.int().min(1).optional().describe('data.image_size'),
  sde: z.enum(['vpsde', 'subvpsde', 'vesde']).optional().describe('training.sde'),
  continuous: z.boolean().optional().describe('training.continuous'),
  betaMin: z.number().positive().default(0.1).describe('model.beta_min'),
  betaMax: z.number().positive().default(20).describe('model.beta_max'),
  sigmaMin: z.number().positive().default(0.01).describe('model.sigma_min'),
  sigmaMax: z.number().positive().optional().describe('model.sigma_max'),
  numScales: z.int().min(2).default(1000).describe('model.num_scales, where time is not continuous'),
  scaleBySigma: z.boolean().optional().describe('model.scale_by_sigma: true under the VE SDE, else false'),
  fir: z
    .boolean()
    .optional()
    .describe('model.fir: true where the network sees or gathers smaller images (NCSN++), else false'),
  skipRescale: z.boolean().default(true).describe('model.skip_rescale of ncsnpp'),
  dropout: z.number().min(0).lt(1).default(0).describe('model.dropout, for training on'),
})
type Options = z.output<typeof schema>

export const scoreSde = defineImport({
  name: 'score-sde',
  description: 'checkpoint_*.pth of yang-song/score_sde_pytorch: models `ddpm` and `ncsnpp` (DDPM++, NCSN++)',
  options: schema,
  recognises: (source) => holdsCopy(source, scoreSdeNames),
  async read(source, options) {
    const archive = await source.archive()
    const copies = findCopies(archive, scoreSdeNames, options.weights)
    const trained = copies?.trained ?? copies?.averages[0]
    if (!copies || !trained) throw invalid(archive.path, 'it has no all_modules')
    const found = readNetwork(trained, archive.path)
    const isFourier = found.kind === 'ncsnpp' && found.isFourier
    const sde = options.sde ?? (isFourier ? 'vesde' : undefined)
    // Random frequencies are of the noise itself, and the sub-VP SDE has no discrete form.
    const isContinuous = sde === 'subvpsde' || isFourier ? true : options.continuous
    const chosen = asked({
      imageSize: { value: options.imageSize, about: 'height and width of the images (data.image_size)' },
      sde: { value: sde, about: 'vpsde, subvpsde or vesde (training.sde)' },
      continuous: {
        value: isContinuous,
        about: 'whether it was trained in continuous time (training.continuous), true or false',
      },
      sigmaMax: {
        value: sde === 'vesde' ? options.sigmaMax : (options.sigmaMax ?? 0),
        about: 'most noise (model.sigma_max): 50 for CIFAR-10, 348 for CelebA-HQ and FFHQ, 378 for LSUN bedrooms',
      },
    })
    const isExploding = chosen.sde === 'vesde'
    const isScaled = options.scaleBySigma ?? isExploding
    if (!isExploding && (isFourier || isScaled)) {
      const what = isFourier ? 'its network is told ln sigma' : '`scaleBySigma` divides its output'
      throw invalid(archive.path, `${what}, which belongs to the VE SDE, not to ${chosen.sde}`)
    }
    if (isExploding && isContinuous && !isFourier) {
      throw invalid(
        archive.path,
        'its network is told sigma itself by sinusoids, which no published configuration does',
      )
    }
    const outputScale = isExploding && !isScaled ? 1 / 2 : 1
    const { imageSize } = chosen
    return {
      network: found.network(imageSize, options),
      diffusion:
        chosen.sde === 'vesde'
          ? exploding({ ...options, ...chosen }, isScaled)
          : preserving({ ...options, ...chosen }, chosen.sde),
      image: { channels: found.imageChannels, height: imageSize, width: imageSize },
      step: copies.step ?? 0,
      ...(copies.trained ? { trained } : {}),
      averages: averagesOf(archive, copies, found.constant, options.weights),
      // Their list has no names, by which it would be found to belong to the weights.
      notes: archive.tensors.has('ema.shadow_params.0') ? [] : copies.notes,
      piece: ({ name }) => found.piece(name, outputScale),
      isUnused: isBuffer,
    }
  },
})

interface ScoreSdeNetwork {
  readonly kind: 'ddpm' | 'ncsnpp'
  readonly imageChannels: number
  readonly isFourier: boolean
  /** Tensors that training does not change, so that no average of them is kept. */
  readonly constant: readonly string[]
  network(imageHeight: number, options: Options): NetworkOptions
  piece(parameter: string, outputScale: number): Piece
}

function readNetwork(weights: Weights, path: string): ScoreSdeNetwork {
  if (!isScoreSdeNcsnpp(weights)) {
    const found = readScoreSdeDdpm(weights, path)
    return {
      ...found,
      kind: 'ddpm',
      isFourier: false,
      constant: [],
      network: (imageHeight, { dropout }) => ({ ...found.network(imageHeight), dropout }),
    }
  }
  const found = readScoreSdeNcsnpp(weights, path)
  return {
    ...found,
    kind: 'ncsnpp',
    network(imageHeight, { dropout, fir, skipRescale }) {
      const network = found.network(imageHeight)
      const isFiltered = fir ?? (network.encoder !== 'standard' || network.decoder !== 'standard')
      return {
        ...network,
        resampling: isFiltered ? 'fir' : 'box',
        ...(skipRescale ? {} : { skipScale: 1 }),
        dropout,
      }
    },
  }
}

function preserving({ continuous, betaMin, betaMax, numScales }: Options, sde: 'vpsde' | 'subvpsde'): DiffusionOptions {
  const rates = { betaMin, betaMax }
  return {
    schedule: continuous
      ? { kind: sde === 'subvpsde' ? 'sub-vp-sde' : 'vp-sde', ...rates }
      : // Their steps of the VP SDE: beta / 1000 on a straight line.
        { kind: 'linear', steps: numScales, betaStart: betaMin / numScales, betaEnd: betaMax / numScales },
    prediction: 'noise',
    variance: continuous ? 'fixed-small' : 'fixed-large',
    timeLabel: 'zero-to-999',
  }
}

function exploding({ continuous, sigmaMin, sigmaMax = 50, numScales }: Options, isScaled: boolean): DiffusionOptions {
  const noise = { sigmaMin: 2 * sigmaMin, sigmaMax: 2 * sigmaMax }
  return {
    schedule: continuous ? { kind: 've-sde', ...noise } : { kind: 'ncsn', steps: numScales, ...noise },
    prediction: { kind: 'score', scaled: isScaled },
    variance: 'fixed-small',
    timeLabel: continuous ? 'log-half-sigma' : 'steps-left',
    clip: 'none',
  }
}

const scoreSdeNames: NetworkNames = {
  anchor: /(?:^|\.)all_modules\.0\.(?:weight|W)$/,
  isNetwork: () => true,
}

/** Averages by name where another program keeps them so; else their own list. */
function averagesOf(
  archive: TensorArchive,
  { trained, averages }: Copies,
  constant: readonly string[],
  choice: string | undefined,
): readonly Weights[] {
  const hasList = archive.tensors.has('ema.shadow_params.0')
  if (choice !== undefined || !trained || !hasList) return averages
  return [averagedWeights(archive, trained, constant)]
}

/** Not among the model's parameters: noise levels, which follow from the configuration. */
function isBuffer(name: string): boolean {
  return name === 'sigmas'
}

function averagedWeights({ path, tensors }: TensorArchive, trained: Weights, constant: readonly string[]): Weights {
  const shadows = under(tensors, 'ema.shadow_params.')
  const names = [...trained.keys()].filter((name) => !isBuffer(name) && !constant.includes(name))
  if (shadows.size !== names.length) {
    throw invalid(path, `it has ${names.length} parameters and ${shadows.size} averages of them`)
  }
  const averaged = names.map((name, index): [string, NonNullable<ReturnType<Weights['get']>>] => {
    const shadow = shadows.get(String(index))
    const wanted = trained.get(name)?.shape.join('×')
    if (shadow?.shape.join('×') === wanted && shadow) return [name, shadow]
    throw invalid(path, `average ${index} has shape ${shadow?.shape.join('×')}, and ${name} has ${wanted}`)
  })
  return new Map([...[...trained].filter(([name]) => constant.includes(name)), ...averaged])
}

function invalid(path: string, reason: string): DpmError {
  return new DpmError('DPM_FILE_INVALID', `${JSON.stringify(path)} is no usable checkpoint of score-SDE: ${reason}.`, {
    details: { path },
  })
}
