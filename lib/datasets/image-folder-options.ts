/** What may be asked for of a folder of pictures. */
import * as z from 'zod'
import { defaultMaxPixels, greyRules, imageFits, resizeKernels } from '../images/decode.js'
import { sampleRangeText } from '../images/sample-range.js'
import { pathOption } from '../options/path-option.js'

const range = z
  .tuple([z.number(), z.number()])
  .refine(([black, white]) => black < white, 'Expected two numbers, the first below the second')

export const imageFolderSchema = z.strictObject({
  kind: z.literal('image-folder'),
  folder: pathOption().describe('folder of the pictures'),
  size: z.int().min(1).max(4096).default(64).describe('height and width in pixels that every picture is brought to'),
  channels: z
    .union([z.literal(1), z.literal(3)])
    .default(3)
    .describe('3: sRGB; 1: grey. Pictures of any other kind are converted'),
  grey: z
    .enum(greyRules)
    .default('luminance')
    .describe(
      'how colour becomes grey. luminance: of linear light; luma: 0.299 R + 0.587 G + 0.114 B, as Pillow and torchvision',
    ),
  range: z
    .union([z.enum(['auto', 'type']), range])
    .default('auto')
    .describe(sampleRangeText),
  fit: z
    .enum(imageFits)
    .default('center-crop')
    .describe(
      'center-crop: the largest square in the middle; stretch: all of it, distorted; contain: all of it, with bars',
    ),
  kernel: z.enum(resizeKernels).default('lanczos3').describe('resize kernel'),
  background: z
    .string()
    .regex(/^#[0-9a-fA-F]{6}$/, 'Expected a colour such as #ffffff')
    .default('#ffffff')
    .describe('colour behind transparent pixels, and of the bars of contain'),
  autoOrient: z.boolean().default(true).describe('turn photographs as their EXIF orientation says'),
  shrinkOnLoad: z.boolean().default(false).describe('let decoders shrink first: faster on large JPEGs, other pixels'),
  frames: z
    .enum(['first', 'all'])
    .default('first')
    .describe('of animations and files of many pages the first is an example, or each'),
  svg: z
    .boolean()
    .default(false)
    .describe('read SVG, from a source that is trusted: a small drawing can take any time and memory'),
  recursive: z.boolean().default(true).describe('look into sub-folders'),
  classes: z
    .enum(['folders', 'metadata', 'none'])
    .default('folders')
    .describe(
      'folders: the first level of sub-folders, where pictures are in sub-folders; metadata: the labels in metadata.csv or metadata.jsonl; none: no classes',
    ),
  emptyClasses: z
    .enum(['error', 'keep', 'drop'])
    .default('error')
    .describe('a sub-folder without a picture is an error, a class without an example, or no class'),
  labelColumn: z.string().min(1).default('label').describe('column of the labels in metadata.csv or metadata.jsonl'),
  corrupt: z
    .enum(['error', 'skip'])
    .default('error')
    .describe('a picture that cannot be used stops the work, or is recorded and replaced by the next of its class'),
  maxPixels: z
    .int()
    .min(1)
    .max(2 ** 32)
    .default(defaultMaxPixels)
    .describe('a picture of more pixels is not used: decoding takes some 10 bytes for each'),
  maxSeconds: z.int().min(1).max(3600).default(60).describe('decoding a picture that takes longer stops the work'),
})

export type ImageFolderSettings = z.output<typeof imageFolderSchema>
