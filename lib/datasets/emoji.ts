/** Twitter's emoji: 3,786 pictures of 64×64 from npm, so that a first training needs no download of its own. */
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import * as z from 'zod'
import { DpmError, throwIfAborted } from '../errors.js'
import { readFailure } from '../files/file-failure.js'
import { resizeKernels } from '../images/decode.js'
import { cutSheet, decodeSheet } from '../images/sheet.js'
import { pathOption } from '../options/path-option.js'
import { defineDataSet } from './define-data-set.js'
import { MemoryDataSet } from './memory-data-set.js'

const packageName = 'emoji-datasource-twitter'
/** All pictures on one: pixel for pixel those of `img/twitter/64`, but decoded in a thirtieth of the time. */
const sheetPath = join('img', 'twitter', 'sheets', '64.png')
const cell = 64
/** Transparent pixels around each picture on the sheet. */
const margin = 1

const emojiSchema = z.strictObject({
  kind: z.literal('emoji'),
  size: z
    .int()
    .min(8)
    .max(64)
    .multipleOf(8)
    .default(16)
    .describe('height and width in pixels; the pictures themselves have 64'),
  skinTones: z.boolean().default(true).describe('with the 1,875 skin-tone variations, or without'),
  kernel: z
    .enum(resizeKernels)
    .default('lanczos3')
    .describe('resize kernel; lanczos3 keeps eyes and mouths at 16 pixels'),
  folder: pathOption()
    .nullable()
    .default(null)
    .describe(`folder of the package ${packageName}; null: as the program, then dpm-torch, would import it`),
})

/** Where a picture is on the sheet, in cells. */
const place = { sheet_x: z.int().min(0), sheet_y: z.int().min(0), has_img_twitter: z.boolean() }
const emojiEntry = z.object({
  ...place,
  category: z.string(),
  sort_order: z.number(),
  skin_variations: z.record(z.string(), z.object(place)).optional(),
})
type EmojiEntry = z.output<typeof emojiEntry>

/**
 * uint8 3×size×size on white; the classes are the categories of Unicode, in alphabetical order (`Activities`,
 * `Animals & Nature`, …). Examples come in Unicode's order, each followed by its skin tones.
 */
export const emoji = defineDataSet({
  name: 'emoji',
  options: emojiSchema,
  published: ({ size }) => ({ channels: 3, height: size, width: size, classes: 10 }),
  async open(settings, { signal, progress }) {
    const folder = settings.folder ?? findPackage()
    const entries = await readEntries(folder)
    const examples = entries.flatMap((entry) => picturesOf(entry, settings.skinTones))
    if (examples.length === 0) throw new DpmError('DPM_DATA_INVALID', `${folder} lists no pictures for Twitter.`)
    const classes = [...new Set(examples.map((example) => example.category))].sort()
    const classIndices = new Map(classes.map((name, index) => [name, index]))
    const path = join(folder, sheetPath)
    const sheet = await decodeSheet(await readSheet(path)).catch((error: unknown) => {
      throw corrupt(path, error instanceof Error ? error.message : String(error), error)
    })
    throwIfAborted(signal, 'Opening emoji')
    const { size, kernel } = settings
    const images = await cutSheet(
      sheet,
      { cell, margin, size, kernel, background: '#ffffff', signal, progress },
      examples,
    ).catch((error: unknown) => {
      throw error instanceof DpmError && error.code === 'DPM_INVALID_ARGUMENT'
        ? corrupt(path, error.message, error)
        : error
    })
    const labels = Uint8Array.from(examples, (example) => classIndices.get(example.category) ?? 0)
    return new MemoryDataSet({ name: 'emoji', channels: 3, height: size, width: size, images, labels, classes })
  },
})

/** The package as the user's program sees it (its folder, then ours), wherever npm has put it. */
function findPackage(): string {
  for (const from of [pathToFileURL(join(process.cwd(), 'program.js')).href, import.meta.url]) {
    try {
      return dirname(createRequire(from).resolve(`${packageName}/package.json`))
    } catch {
      // Not visible from there; the next place may know it.
    }
  }
  throw missing('is not installed')
}

async function readEntries(folder: string): Promise<EmojiEntry[]> {
  const path = join(folder, 'emoji.json')
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw missing(`is not in ${folder}`, error)
  })
  const result = z.array(emojiEntry).safeParse(parseJson(text))
  if (!result.success) throw corrupt(path, 'it is not a list of emoji')
  return result.data.sort((a, b) => a.sort_order - b.sort_order)
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

interface Example {
  readonly column: number
  readonly row: number
  readonly category: string
}

function picturesOf(entry: EmojiEntry, skinTones: boolean): Example[] {
  const tones = skinTones ? Object.entries(entry.skin_variations ?? {}).sort(([a], [b]) => (a < b ? -1 : 1)) : []
  return [entry, ...tones.map(([, tone]) => tone)]
    .filter((picture) => picture.has_img_twitter)
    .map(({ sheet_x: column, sheet_y: row }) => ({ column, row, category: entry.category }))
}

function readSheet(path: string): Promise<Buffer> {
  return readFile(path).catch((error: unknown) => {
    throw readFailure(path, error)
  })
}

function corrupt(path: string, reason: string, cause?: unknown): DpmError {
  return new DpmError('DPM_DATA_INVALID', `Cannot read ${path}: ${reason}. Run \`npm install ${packageName}\` again.`, {
    cause,
    details: { path },
  })
}

function missing(what: string, cause?: unknown): DpmError {
  return new DpmError('DPM_DATA_MISSING', `The package ${packageName} ${what}. Run \`npm install ${packageName}\`.`, {
    cause,
  })
}
