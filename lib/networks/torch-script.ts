/**
 * A network of your own: a TorchScript module that Python exported (`torch.jit.script` or `trace`, then `torch.jit.save`).
 * It is sampled, evaluated, fine-tuned and guided like ours; its parameters keep the names that they have in Python.
 *
 * `forward` takes x (N×C×H×W float32, rows contiguous), the time as the run's `timeLabel` tells it (N), and where there are any
 * the classes (N int64) and the image beside x (N×K×H×W float32). It returns N×C×H×W, or 2C channels with a learned variance;
 * of a tuple the first counts. Parameters and floating buffers must be float32; `.train()` is on while weights are learned.
 * A module that draws random numbers (dropout) draws libtorch's own: a run with it cannot be resumed to the bit.
 *
 * The file is read whenever the network is built: keep it where it is. A module runs only libtorch's operators, but it is a
 * program: load none that you would not run.
 */
import { statSync } from 'node:fs'
import { resolve } from 'node:path'
import * as z from 'zod'
import { DpmError } from '../errors.js'
import { defineOptions } from '../options/options.js'
import { conditioningOptions, dataShape } from './conditioning.js'
import type { NetworkDefinition } from './network-definition.js'

const torchScriptSchema = z.strictObject({
  kind: z.literal('torch-script'),
  file: z.string().min(1).describe('the file that `torch.jit.save` wrote'),
  inputs: z
    .array(z.enum(['x', 'time', 'classes', 'image']))
    .max(8)
    .default([])
    .describe('what the arguments of forward are, in order; empty: the first is x, the others are told by their names'),
  timeType: z
    .enum(['float32', 'int64'])
    .default('float32')
    .describe('type of the time: int64 for a module that looks it up in a table'),
  ...conditioningOptions,
  nullClass: z
    .boolean()
    .default(false)
    .describe('the module knows one more class that means "no class", as the last index'),
})

export type TorchScriptSettings = z.output<typeof torchScriptSchema>
export type TorchScriptOptions = z.input<typeof torchScriptSchema>

export const torchScript: NetworkDefinition<TorchScriptSettings> & { readonly schema: typeof torchScriptSchema } = {
  name: 'torch-script',
  schema: torchScriptSchema,
  options: defineOptions('torch-script', torchScriptSchema),
  native(settings, image, classes, outputs = 1) {
    const file = resolve(settings.file)
    if (!statSync(file, { throwIfNoEntry: false })?.isFile()) {
      throw new DpmError(
        'DPM_FILE_MISSING',
        `There is no file ${file} for \`network.file\`. Write it in Python with torch.jit.save(torch.jit.script(module), path).`,
      )
    }
    return { ...settings, file, ...dataShape(settings, image, classes, outputs) }
  },
}
