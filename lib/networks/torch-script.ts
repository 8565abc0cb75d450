/**
 * A network of your own: a TorchScript module that Python exported (`torch.jit.script` or `trace`, then `torch.jit.save`).
 * It is sampled, evaluated, fine-tuned and guided like ours; its parameters keep the names that they have in Python.
 *
 * `forward` takes x (N×C×H×W float32, rows contiguous), the time as the run's `timeLabel` tells it (N), and where there are any
 * the classes (N int64) and the image beside x (N×K×H×W float32). It returns N×C×H×W, or 2C channels with a learned variance;
 * of a tuple the first counts. Parameters and floating buffers must be float32; `.train()` is on while weights are learned.
 * A module that draws random numbers (dropout) draws libtorch's own: a run with it cannot be resumed to the bit.
 *
 * A module is a program. libtorch's operators read and write files (`torch.from_file`), and a module runs as soon as it is loaded,
 * for as long as it likes: an abort does not end a loop in it. Name none that you would not run. A checkpoint, run folder or recipe
 * file that names one is refused without `trust` (`lib/networks/program-file.ts`). A run keeps a copy in its folder, and knows it by
 * its SHA-256.
 */
import * as z from 'zod'
import { defineOptions } from '../options/options.js'
import { conditioningOptions, dataShape } from './conditioning.js'
import { checkModuleFile } from './module-file.js'
import type { NetworkDefinition } from './network-definition.js'

const torchScriptSchema = z.strictObject({
  kind: z.literal('torch-script'),
  file: z
    .string()
    .min(1)
    .describe(
      'the file that `torch.jit.save` wrote: a program, which can read and write files; name none that you would not run',
    ),
  sha256: z
    .string()
    .regex(/^[0-9a-f]{64}$/, { error: 'Expected 64 digits from 0 to f' })
    .nullable()
    .default(null)
    .describe('SHA-256 that the file must have; null takes the file as it is, and a run then keeps what it was'),
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
  // The file's place and sum are for those who look for it.
  native: ({ sha256: _, ...settings }, image, classes, outputs = 1) => ({
    ...settings,
    ...dataShape(settings, image, classes, outputs),
  }),
  program: {
    of: ({ file, sha256 }) => ({ file, sha256 }),
    at: (settings, { file, sha256 }) => ({ ...settings, file, sha256 }),
    check: checkModuleFile,
    cure: 'Write it in Python with torch.jit.save(torch.jit.script(module), path).',
  },
}
