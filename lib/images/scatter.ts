/**
 * Points as a picture: panels side by side on the same axes, such as those of the data and those that were drawn. One column is
 * a histogram, of more the first two are shown. The axes are drawn once; points are dropped onto them, so that the frames of an
 * animation cost little.
 */
import { Axis, line, number, round, scales, text } from './chart.js'
import { ImageGrid } from './grid.js'
import { loadSharp } from './load-sharp.js'
import { toPlanes } from './planes.js'

/** N points of a panel. */
export interface ScatterPoints {
  /** N × columns. */
  readonly data: ArrayLike<number>
  /** N, what a point's colour says; all are alike when absent. */
  readonly labels?: ArrayLike<number> | null | undefined
}

export interface ScatterOptions {
  /** Names of the columns. */
  readonly columns: readonly string[]
  /** One for each panel. */
  readonly titles: readonly string[]
  /** Points that the axes must reach over; what lies beyond them is not shown. */
  readonly reach: ScatterPoints
}

const panel = { width: 400, left: 50, top: 34, plot: 336, bottom: 44 } as const
const height = panel.top + panel.plot + panel.bottom
const bins = 80
type Colour = readonly [number, number, number]
const ink: Colour = [31, 87, 160]
/** Of labels, in turn. */
const inks: readonly Colour[] = [
  ink,
  [204, 82, 20],
  [38, 132, 60],
  [150, 60, 150],
  [170, 130, 10],
  [190, 40, 70],
  [20, 140, 150],
  [100, 100, 100],
]
/** How much of its colour a point leaves where it is, and beside it. */
const dot = [
  [0, 0, 0.55],
  [1, 0, 0.28],
  [-1, 0, 0.28],
  [0, 1, 0.28],
  [0, -1, 0.28],
] as const

export class ScatterPlot {
  readonly #background: Uint8Array
  readonly #width: number
  readonly #columns: number
  readonly #horizontal: Axis
  /** Of a histogram the densities. */
  readonly #vertical: Axis
  /** Least and largest value of the first column that is shown. */
  readonly #range: readonly [number, number]

  private constructor(
    background: Uint8Array,
    width: number,
    columns: number,
    axes: readonly [Axis, Axis],
    range: readonly [number, number],
  ) {
    this.#background = background
    this.#width = width
    this.#columns = columns
    this.#horizontal = axes[0]
    this.#vertical = axes[1]
    this.#range = range
  }

  /** Draws the axes. */
  static async create({ columns, titles, reach }: ScatterOptions): Promise<ScatterPlot> {
    const [left, right] = [panel.left, panel.left + panel.plot]
    const [top, bottom] = [panel.top, panel.top + panel.plot]
    const [low, high] = endsOf(reach.data, columns.length, 0)
    const horizontal = new Axis(scales.linear, [low, high], [left, right])
    const densest = Math.max(...histogram(reach.data, low, high))
    const ends: readonly [number, number] =
      columns.length > 1 ? endsOf(reach.data, columns.length, 1) : [0, 1.15 * (densest > 0 ? densest : 1)]
    const vertical = new Axis(scales.linear, ends, [bottom, top])
    const width = panel.width * titles.length
    const svg = [
      `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" font-family="DejaVu Sans, Arial, sans-serif" font-size="11">`,
      '<rect width="100%" height="100%" fill="#ffffff"/>',
      ...titles.flatMap((title, index) => [
        `<g transform="translate(${index * panel.width} 0)">`,
        text(title, { x: left, y: top - 12, size: 13 }),
        ...horizontal.ticks.flatMap(([value, at]) => [
          line([at, top], [at, bottom], '#ececec'),
          text(number(value), { x: at, y: bottom + 15, anchor: 'middle' }),
        ]),
        ...vertical.ticks.flatMap(([value, at]) => [
          line([left, at], [right, at], '#ececec'),
          text(number(value), { x: left - 6, y: at + 4, anchor: 'end' }),
        ]),
        `<rect x="${left}" y="${top}" width="${panel.plot}" height="${panel.plot}" fill="none" stroke="#888888"/>`,
        text(columns.length > 1 ? `${columns[0]}, upwards ${columns[1]}` : `density of ${columns[0]}`, {
          x: round((left + right) / 2),
          y: bottom + 32,
          anchor: 'middle',
        }),
        '</g>',
      ]),
      '</svg>',
    ].join('\n')
    const sharp = await loadSharp()
    const pixels = await sharp(new TextEncoder().encode(svg)).removeAlpha().raw().toBuffer()
    const background = new Uint8Array(3 * width * height)
    toPlanes(pixels, 3, width * height, background)
    return new ScatterPlot(background, width, columns.length, [horizontal, vertical], [low, high])
  }

  /** @param panels as many as there are titles */
  draw(panels: readonly ScatterPoints[]): ImageGrid {
    const canvas = new Canvas(this.#background, this.#width)
    for (const [index, points] of panels.entries()) {
      if (this.#columns === 1) this.#drawBars(canvas, points, index * panel.width)
      else this.#drawDots(canvas, points, index * panel.width)
    }
    return new ImageGrid({ data: canvas.data, channels: 3, height, width: this.#width })
  }

  #drawDots(canvas: Canvas, { data, labels }: ScatterPoints, offset: number): void {
    const count = data.length / this.#columns
    for (let n = 0; n < count; n++) {
      const x = Math.round(this.#horizontal.at(data[n * this.#columns] ?? Number.NaN))
      const y = Math.round(this.#vertical.at(data[n * this.#columns + 1] ?? Number.NaN))
      if (!isInside(x, y)) continue
      const colour = inks[(labels?.[n] ?? 0) % inks.length] ?? ink
      for (const [right, down, share] of dot) canvas.blend(offset + x + right, y + down, colour, share)
    }
  }

  #drawBars(canvas: Canvas, { data }: ScatterPoints, offset: number): void {
    const [low, high] = this.#range
    const bottom = panel.top + panel.plot
    for (const [bin, density] of histogram(data, low, high).entries()) {
      const from = Math.round(this.#horizontal.at(low + ((high - low) * bin) / bins))
      const to = Math.round(this.#horizontal.at(low + ((high - low) * (bin + 1)) / bins))
      const top = Math.max(panel.top + 1, Math.round(this.#vertical.at(density)))
      for (let y = top; y < bottom; y++) {
        for (let x = from; x < Math.max(from + 1, to - 1); x++) canvas.blend(offset + x, y, ink, 0.7)
      }
    }
  }
}

/** Whether a point with its edge lies in the plot. */
function isInside(x: number, y: number): boolean {
  const [left, top] = [panel.left, panel.top]
  return x > left + 1 && x < left + panel.plot - 1 && y > top + 1 && y < top + panel.plot - 1
}

/** Pixels in three planes. */
class Canvas {
  readonly data: Uint8Array
  readonly #width: number

  constructor(background: Uint8Array, width: number) {
    this.data = background.slice()
    this.#width = width
  }

  blend(x: number, y: number, colour: Colour, share: number): void {
    const plane = this.#width * height
    const at = y * this.#width + x
    for (const [channel, value] of colour.entries()) {
      const before = this.data[channel * plane + at] ?? 0
      this.data[channel * plane + at] = Math.round(before + share * (value - before))
    }
  }
}

/** Least and largest value of a column. */
function endsOf(data: ArrayLike<number>, columns: number, column: number): [number, number] {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]
  for (let i = column; i < data.length; i += columns) {
    low = Math.min(low, data[i] ?? low)
    high = Math.max(high, data[i] ?? high)
  }
  const margin = high > low ? 0.05 * (high - low) : 1
  return [low - margin, high + margin]
}

/** Densities of one column in equal bins of a range. */
function histogram(data: ArrayLike<number>, low: number, high: number): Float64Array {
  const densities = new Float64Array(bins)
  const share = bins / (high - low) / data.length
  for (let i = 0; i < data.length; i++) {
    const bin = Math.floor((((data[i] ?? Number.NaN) - low) / (high - low)) * bins)
    if (bin >= 0 && bin < bins) densities[bin] = (densities[bin] ?? 0) + share
  }
  return densities
}
