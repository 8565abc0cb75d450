/**
 * A pipeline folder of diffusers, which `UNet2DModel.from_pretrained`, `DDPMPipeline.from_pretrained` and
 * `DDIMPipeline.from_pretrained` open: networks `unet-2d`, and `unet` where its settings have the same in theirs.
 */
import { readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import * as z from 'zod'
import type { ImageShape } from '../../datasets/data-set.js'
import { diffusionSchema } from '../../diffusion/diffusion-options.js'
import { DpmError, expected } from '../../errors.js'
import { writeAtomically } from '../../files/atomic-write.js'
import { makeFolder, removeEmpty } from '../../files/make-folder.js'
import { networkSchema } from '../../networks/list.js'
import { type Unet2dSettings, unet2d } from '../../networks/unet-2d.js'
import { parseOptions } from '../../options/options.js'
import { samplingSchema } from '../../sampling/sampling-defaults.js'
import type { Checkpoint } from '../checkpoint.js'
import { diffusersNames } from '../diffusers/parameter-names.js'
import { unetAsUnet2d } from '../diffusers/unet-as-unet-2d.js'
import { configOfSettings } from '../diffusers/unet-config.js'
import { writeScheduler } from '../diffusers/write-scheduler.js'
import { type TensorSource, writeSafetensors } from '../safetensors.js'
import { defineExport } from './define-export.js'

/** What a checkpoint's settings say of its model; a run's have more. */
const modelSchema = z.object({
  network: networkSchema,
  diffusion: diffusionSchema,
  sampling: samplingSchema.prefault({}),
  condition: z.looseObject({ kind: z.string() }).default({ kind: 'none' }),
})
type Model = z.output<typeof modelSchema>

export const diffusers = defineExport({
  name: 'diffusers',
  description: 'a pipeline folder of diffusers: UNet2DModel and scheduler, for networks unet-2d and unet',
  makes: 'folder',
  async write({ checkpoint, weights, out }) {
    const { image } = checkpoint
    const model = parseOptions(modelSchema, checkpoint.settings, checkpoint.path)
    const settings = settingsOf(model, image)
    const classes = settings.classConditional ? checkpoint.classes.length : 0
    const scheduler = writeScheduler(model.diffusion, model.sampling)
    const outputs = model.diffusion.variance === 'learned-range' ? 2 : 1
    // Holds the settings to each other, as building the network would.
    unet2d.native(settings, image, classes, outputs)
    requireEvenSizes(settings, image)
    await requireEmpty(out)

    const config = configOfSettings(settings, image, classes, outputs)
    const pipeline = scheduler.name === 'DDIMScheduler' ? 'DDIMPipeline' : 'DDPMPipeline'
    const files: Readonly<Record<string, unknown>> = {
      'unet/config.json': { _class_name: 'UNet2DModel', ...config },
      'scheduler/scheduler_config.json': { _class_name: scheduler.name, ...scheduler.config },
      // Last: without it the folder is none of a pipeline, so that half of one is not taken for it.
      'model_index.json': {
        _class_name: pipeline,
        scheduler: ['diffusers', scheduler.name],
        unet: ['diffusers', 'UNet2DModel'],
      },
    }
    const weightsPath = join(out, 'unet/diffusion_pytorch_model.safetensors')
    const made = await Promise.all(['unet', 'scheduler'].map((folder) => makeFolder(join(out, folder))))
    try {
      const sources = weightsOf(checkpoint, weights, settings.blockOutChannels.length)
      await writeSafetensors(weightsPath, sources, { format: 'pt' })
      for (const [name, content] of Object.entries(files)) {
        await writeAtomically(join(out, name), Buffer.from(`${JSON.stringify(content, null, 2)}\n`))
      }
    } catch (error) {
      // Half of a pipeline would stand in the way of the next try.
      for (const name of [weightsPath, ...Object.keys(files).map((file) => join(out, file))])
        await rm(name, { force: true })
      await removeEmpty(made.flat())
      throw error
    }
    return {
      paths: [weightsPath, ...Object.keys(files).map((name) => join(out, name))],
      notes: [
        ...scheduler.notes,
        ...(classes > 0
          ? ['Pipelines of diffusers tell no class: give the UNet2DModel `class_labels` in a loop of your own.']
          : []),
      ],
    }
  },
})

/** @throws DpmError DPM_INVALID_OPTION naming the setting that diffusers has no word for */
function settingsOf({ network, diffusion, condition }: Model, image: ImageShape): Unet2dSettings {
  if (network.kind !== 'unet-2d' && network.kind !== 'unet') {
    throw expected(
      'unet-2d or unet',
      'network.kind',
      network.kind,
      'diffusers has no pipeline of others.',
      'DPM_INVALID_OPTION',
    )
  }
  if (condition.kind !== 'none' || network.conditionChannels > 0) {
    throw expected(
      'none',
      condition.kind === 'none' ? 'network.conditionChannels' : 'condition',
      condition.kind === 'none' ? network.conditionChannels : condition.kind,
      'DDPMPipeline shows its network no other image.',
      'DPM_INVALID_OPTION',
    )
  }
  if (diffusion.variance === 'learned') {
    throw expected(
      'fixed-small, fixed-large or learned-range',
      'diffusion.variance',
      diffusion.variance,
      'DDPMScheduler of diffusers takes a learned variance for the variance itself, and here it is its logarithm.',
      'DPM_INVALID_OPTION',
    )
  }
  return network.kind === 'unet' ? unet2d.options.parse(unetAsUnet2d(network, image), 'export') : network
}

/** `UNet2DModel` doubles every size on the way up: what was odd on the way down does not come back. */
function requireEvenSizes({ blockOutChannels }: Unet2dSettings, { height, width }: ImageShape): void {
  const divisor = 2 ** (blockOutChannels.length - 1)
  if (height % divisor === 0 && width % divisor === 0) return
  throw expected(
    `a height and width that are multiples of ${divisor}`,
    'image',
    `${height}×${width}`,
    `UNet2DModel of diffusers with ${blockOutChannels.length} levels cannot run others.`,
    'DPM_INVALID_OPTION',
  )
}

/** What lies in the folder of another model would be taken for this one's. */
async function requireEmpty(out: string): Promise<void> {
  const found = await stat(out).catch(() => undefined)
  if (!found) return
  if (found.isDirectory() && (await readdir(out)).length === 0) return
  throw expected('a new or an empty folder', 'out', out, 'Choose another name.', 'DPM_INVALID_OPTION')
}

/** The tensors of theirs: where several make one of ours, equal parts of its rows. */
function weightsOf(checkpoint: Checkpoint, copy: string, levels: number): TensorSource[] {
  return checkpoint.names(copy).flatMap((name) => {
    const names = diffusersNames(name.slice(copy.length + 1), levels)
    const [rows = 1, ...rest] = checkpoint.info(name)?.shape ?? []
    return names.map((theirs, index): TensorSource => {
      return {
        name: theirs,
        dtype: 'F32',
        shape: [rows / names.length, ...rest],
        async read() {
          const bytes = await checkpoint.read(name)
          const size = bytes.byteLength / names.length
          if (!Number.isInteger(size)) throw new DpmError('DPM_INTERNAL', `${name} has no ${names.length} equal parts.`)
          return bytes.subarray(index * size, (index + 1) * size)
        },
      }
    })
  })
}
