/**
 * Tensors that already have our parameters' names: what `dpm-torch export --format safetensors` writes (its metadata has
 * the settings), or a file made elsewhere, whose settings are then given with `--set network.kind=…`.
 */
import * as z from 'zod'
import { DpmError } from '../../errors.js'
import { parseJson } from '../../files/parse-json.js'
import { parseOptions } from '../../options/options.js'
import { show } from '../../show.js'
import { type TensorArchive, under, type Weights } from '../archives/tensor-archive.js'
import { unwrapped } from './copies.js'
import { defineImport, type ImportedModel } from './define-import.js'
import { from } from './pieces.js'

const storedSchema = z.looseObject({
  network: z.record(z.string(), z.unknown()).default({}),
  diffusion: z.record(z.string(), z.unknown()).default({}),
})

export const parameters = defineImport({
  name: 'parameters',
  description: "tensors under dpm-torch's own parameter names, as `dpm-torch export --format safetensors` writes them",
  options: z.strictObject({}),
  async recognises(source) {
    return !source.isFolder && (await source.archive()).values.get('format') === 'dpm-torch-parameters'
  },
  async read(source) {
    const archive = await source.archive()
    const stored = parseOptions(
      storedSchema,
      storedJson(archive, 'model', {}),
      `the metadata "model" of ${source.path}`,
    )
    // A module is a program: a file of weights does not choose one.
    if ('file' in stored.network) {
      throw new DpmError(
        'DPM_FILE_INVALID',
        `${JSON.stringify(source.path)} names a file of a program as its network, ${show(stored.network['file'])}, and weights are not imported into one. Open that with \`Network.fromTorchScript\` where you trust it.`,
        { details: { path: source.path } },
      )
    }
    const model = {
      ...stored,
      image: storedJson(archive, 'image', {}),
      classes: storedJson(archive, 'classes', []),
      step: storedJson(archive, 'step', 0),
      trained: plainNames(archive.tensors),
      piece: ({ name }) => from(name),
      // Whoever imports holds all of it to the schemas, together with what `--set` says.
    } as ImportedModel
    return model
  },
})

/** Groups that a program keeps a network in, and modules that a network is an attribute of. */
const outer =
  /^(?:state_dict|model_state_dict|model|net|net_model|network|unet|denoiser|diffusion|params|weights|ema|ema_model)\./

/** Without what stands before all names: none of ours begins so. */
function plainNames(tensors: Weights): Weights {
  let weights = unwrapped(tensors)
  for (;;) {
    const [first = ''] = weights.keys()
    const prefix = outer.exec(first)?.[0]
    if (prefix === undefined || [...weights.keys()].some((name) => !name.startsWith(prefix))) return weights
    weights = under(weights, prefix)
  }
}

function storedJson(archive: TensorArchive, name: string, fallback: unknown): unknown {
  const text = archive.values.get(name)
  if (text === undefined) return fallback
  return parseJson(String(text), { name: `The metadata "${name}" of ${JSON.stringify(archive.path)}` })
}
