import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { DataSet } from '../../lib/datasets/data-set.js'
import { emoji } from '../../lib/datasets/emoji.js'
import { decodeImage } from '../../lib/images/decode.js'
import { encodeImage } from '../../lib/images/encode.js'
import { toPlanes } from '../../lib/images/planes.js'

describe('emoji', () => {
  let dataSet: DataSet
  const seen: number[] = []
  beforeAll(async () => {
    dataSet = await emoji.open(emoji.options.parse({ kind: 'emoji' }), { progress: (done) => seen.push(done) })
  })
  afterAll(() => dataSet.close())

  test('has the 3,786 pictures of the package, in the ten categories of Unicode', () => {
    expect(dataSet).toMatchObject({ name: 'emoji', length: 3786, channels: 3, height: 16, width: 16 })
    expect(dataSet.classes).toEqual([
      'Activities',
      'Animals & Nature',
      'Component',
      'Flags',
      'Food & Drink',
      'Objects',
      'People & Body',
      'Smileys & Emotion',
      'Symbols',
      'Travel & Places',
    ])
    const counts = new Array<number>(10).fill(0)
    for (let i = 0; i < dataSet.length; i++) counts[dataSet.classOf(i)] = (counts[dataSet.classOf(i)] ?? 0) + 1
    // Skin tones are variations of people, of activities and of nothing else; the other counts are those of emoji.json.
    expect([counts[1], counts[2], counts[3], counts[4], counts[7], counts[8]]).toEqual([159, 5, 270, 131, 169, 224])
    expect(seen.at(-1)).toBe(3786)
  })

  test('begins with the grinning face: white corners, yellow face', async () => {
    const image = new Uint8Array(768)
    await dataSet.read([0], image)
    const at = (y: number, x: number): number[] => [0, 1, 2].map((channel) => image[channel * 256 + y * 16 + x] ?? -1)
    expect(at(0, 0)).toEqual([255, 255, 255])
    const [red = 0, green = 0, blue = 0] = at(3, 8)
    // Twemoji's face is #FFCC4D.
    expect(Math.abs(red - 0xff) + Math.abs(green - 0xcc) + Math.abs(blue - 0x4d)).toBeLessThan(12)
  })

  test.each([8, 16, 24, 40, 64])(
    'has the pictures of img/twitter/64 at %i pixels, as if resized alone',
    async (size) => {
      const resized = await emoji.open(emoji.options.parse({ kind: 'emoji', size }))
      const folder = dirname(createRequire(import.meta.url).resolve('emoji-datasource-twitter/package.json'))
      // In Unicode's order: the first; the 64th, which ends a strip; and the last, a flag.
      const names = ['1f600.png', '1f480.png', '1f3f4-e0067-e0062-e0077-e006c-e0073-e007f.png']
      const order = await unicodeOrder(folder)
      for (const name of names) {
        const single = await decodeImage(await readFile(join(folder, 'img/twitter/64', name)), {
          size,
          channels: 3,
          fit: 'stretch',
          kernel: 'lanczos3',
          background: '#ffffff',
          autoOrient: false,
          shrinkOnLoad: false,
        })
        const planes = new Uint8Array(single.length)
        toPlanes(single, 3, size * size, planes)
        const image = new Uint8Array(single.length)
        await resized.read([order.indexOf(name)], image)
        const differences = image.map((value, i) => Math.abs(value - (planes[i] ?? 0)))
        // Nothing up to a factor of 2; beyond it, and in the lines whose kernel sees the border, the little that is documented.
        expect(Math.max(...differences), name).toBeLessThanOrEqual(size >= 24 ? 0 : 4)
        const inner = differences.filter(
          (_, i) => Math.abs((Math.floor(i / size) % size) - (size - 1) / 2) < size / 2 - 3,
        )
        expect(Math.max(...inner), name).toBe(0)
      }
    },
  )
})

/** Pictures in the order that the data set promises, worked out here from the package's own list. */
async function unicodeOrder(folder: string): Promise<string[]> {
  type Entry = { image: string; sort_order: number; skin_variations?: Record<string, { image: string }> }
  const entries: Entry[] = JSON.parse(await readFile(join(folder, 'emoji.json'), 'utf8'))
  entries.sort((a, b) => a.sort_order - b.sort_order)
  return entries.flatMap((entry) => {
    const tones = Object.entries(entry.skin_variations ?? {}).sort(([a], [b]) => (a < b ? -1 : 1))
    return [entry.image, ...tones.map(([, tone]) => tone.image)]
  })
}

describe('an emoji package', () => {
  let folder: string
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'emoji-'))
  })
  afterAll(() => rm(folder, { recursive: true }))

  test('that is not there names the command that brings it', async () => {
    const settings = emoji.options.parse({ kind: 'emoji', folder: join(folder, 'nowhere') })
    await expect(emoji.open(settings)).rejects.toMatchObject({
      code: 'DPM_DATA_MISSING',
      message: expect.stringContaining('npm install emoji-datasource-twitter'),
    })
  })

  test('with a corrupt sheet names it', async () => {
    await mkdir(join(folder, 'img/twitter/sheets'), { recursive: true })
    await writeFile(join(folder, 'img/twitter/sheets/64.png'), 'not a picture')
    const entry = { sheet_x: 0, sheet_y: 0, category: 'Smileys', sort_order: 1, has_img_twitter: true }
    await writeFile(join(folder, 'emoji.json'), JSON.stringify([entry]))
    const settings = emoji.options.parse({ kind: 'emoji', folder })
    await expect(emoji.open(settings)).rejects.toMatchObject({
      code: 'DPM_DATA_INVALID',
      message: expect.stringContaining('64.png'),
    })
    const picture = await encodeImage({ data: new Uint8Array(66 * 66), channels: 1, height: 66, width: 66 })
    await writeFile(join(folder, 'img/twitter/sheets/64.png'), picture)
    expect(await emoji.open(settings)).toMatchObject({ length: 1, classes: ['Smileys'] })
    await writeFile(join(folder, 'emoji.json'), JSON.stringify([{ ...entry, sheet_x: 1 }]))
    await expect(emoji.open(settings)).rejects.toThrow('no cell in column 1, row 0')
  })

  test('stops opening when the signal fires', async () => {
    const controller = new AbortController()
    const opening = emoji.open(emoji.options.parse({ kind: 'emoji' }), {
      signal: controller.signal,
      progress: (done) => {
        if (done >= 10) controller.abort()
      },
    })
    await expect(opening).rejects.toMatchObject({ code: 'DPM_ABORTED' })
  })
})
