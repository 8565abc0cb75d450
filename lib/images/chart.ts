/** Line charts: an SVG document from series of points, and its picture. */
import { expected } from '../errors.js'
import { loadSharp } from './load-sharp.js'

export interface ChartAxis {
  readonly label: string
  /** `linear` when absent. */
  readonly scale?: ChartScale | undefined
}

export interface ChartSeries {
  readonly name: string
  /** From left to right. Those that a logarithmic axis has no place for (0, negative, not finite) are left out. */
  readonly points: readonly (readonly [x: number, y: number])[]
}

export interface LineChart {
  readonly title: string
  readonly x: ChartAxis
  readonly y: ChartAxis
  readonly series: readonly ChartSeries[]
}

export type ChartScale = keyof typeof scales

interface Scale {
  /** Where on a straight line a value lies; not finite where it has no place. */
  readonly place: (value: number) => number
  /** Values to write at an axis from one value to another, about six. */
  readonly ticks: (low: number, high: number) => readonly number[]
}

const scales = {
  linear: { place: (value) => value, ticks: evenTicks },
  log: { place: Math.log10, ticks: decadeTicks },
} as const satisfies Record<string, Scale>

const size = { width: 860, height: 560 } as const
const plot = { left: 80, top: 44, width: 560, height: 450 } as const
const legendLine = 15
const dashes = ['', '7 3', '2 3', '9 3 2 3'] as const

/**
 * The chart as an SVG document of at least 860×560, taller where the legend needs it. Names may hold any text.
 * @throws DpmError DPM_INVALID_ARGUMENT when no series has a point that can be drawn.
 */
export function lineChart({ title, x, y, series }: LineChart): string {
  const xScale: Scale = scales[x.scale ?? 'linear']
  const yScale: Scale = scales[y.scale ?? 'linear']
  const drawable = series.map(({ name, points }) => ({
    name,
    points: points.filter((point) => isPlaced(xScale, point[0]) && isPlaced(yScale, point[1])),
  }))
  const all = drawable.flatMap(({ points }) => points)
  if (all.length === 0) throw expected('at least one finite point', 'series', series.length)
  const horizontal = new Axis(
    xScale,
    all.map(([value]) => value),
    plot.left,
    plot.left + plot.width,
  )
  const vertical = new Axis(
    yScale,
    all.map(([, value]) => value),
    plot.top + plot.height,
    plot.top,
  )
  const height = Math.max(size.height, plot.top + 20 + legendLine * series.length)
  const [right, bottom] = [plot.left + plot.width, plot.top + plot.height]
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${size.width}" height="${height}" viewBox="0 0 ${size.width} ${height}" font-family="DejaVu Sans, Arial, sans-serif" font-size="11">`,
    `<rect width="100%" height="100%" fill="#ffffff"/>`,
    text(title, { x: plot.left, y: 24, size: 15 }),
    ...horizontal.ticks.flatMap(([value, at]) => [
      line([at, plot.top], [at, bottom], '#e4e4e4'),
      text(number(value), { x: at, y: bottom + 16, anchor: 'middle' }),
    ]),
    ...vertical.ticks.flatMap(([value, at]) => [
      line([plot.left, at], [right, at], '#e4e4e4'),
      text(number(value), { x: plot.left - 6, y: at + 4, anchor: 'end' }),
    ]),
    `<rect x="${plot.left}" y="${plot.top}" width="${plot.width}" height="${plot.height}" fill="none" stroke="#444444"/>`,
    text(x.label, { x: plot.left + plot.width / 2, y: bottom + 36, anchor: 'middle', size: 12 }),
    `<g transform="translate(20 ${plot.top + plot.height / 2}) rotate(-90)">${text(y.label, { x: 0, y: 0, anchor: 'middle', size: 12 })}</g>`,
    ...drawable.flatMap(({ name, points }, index) => {
      const at = points.map(([px, py]) => `${round(horizontal.at(px))},${round(vertical.at(py))}`)
      const [stroke, dash] = [colour(index, series.length), dashes[index % dashes.length]]
      const style = `fill="none" stroke="${stroke}" stroke-width="1.6"${dash ? ` stroke-dasharray="${dash}"` : ''}`
      const row = plot.top + 8 + legendLine * index
      return [
        `<polyline points="${at.join(' ')}" ${style}/>`,
        // Where points are few they are marked; many of them would hide the line.
        ...(points.length > 24
          ? []
          : at.map((place) => {
              const [cx, cy] = place.split(',')
              return `<circle cx="${cx}" cy="${cy}" r="2.2" fill="${stroke}"/>`
            })),
        `<line x1="${right + 14}" y1="${row}" x2="${right + 40}" y2="${row}" ${style}/>`,
        text(name, { x: right + 46, y: row + 4 }),
      ]
    }),
    '</svg>',
    '',
  ].join('\n')
}

/** The picture of an SVG document as PNG bytes. @param density pixels per pixel of the document; 2 when absent */
export async function chartPicture(svg: string, density = 2): Promise<Buffer> {
  const sharp = await loadSharp()
  return sharp(new TextEncoder().encode(svg), { density: 72 * density })
    .png()
    .toBuffer()
}

/** A stretch of a scale on a stretch of the picture. */
class Axis {
  readonly ticks: readonly (readonly [value: number, at: number])[]
  readonly #scale: Scale
  readonly #low: number
  readonly #perUnit: number
  readonly #from: number

  constructor(scale: Scale, values: readonly number[], from: number, to: number) {
    const places = values.map(scale.place)
    let [low, high] = [Math.min(...places), Math.max(...places)]
    // A single value lies in the middle.
    if (high === low) [low, high] = [low - 0.5, high + 0.5]
    const margin = 0.03 * (high - low)
    this.#scale = scale
    this.#low = low - margin
    this.#from = from
    this.#perUnit = (to - from) / (high - low + 2 * margin)
    const [least, largest] = [Math.min(...values), Math.max(...values)]
    this.ticks = scale.ticks(least, largest).map((value) => [value, round(this.at(value))])
  }

  at(value: number): number {
    return this.#from + (this.#scale.place(value) - this.#low) * this.#perUnit
  }
}

/** Multiples of 1, 2 or 5 times a power of ten. */
function evenTicks(low: number, high: number): readonly number[] {
  if (low === high) return [low]
  const rough = (high - low) / 6
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = power * ([1, 2, 5].find((factor) => factor * power >= rough) ?? 10)
  const first = Math.ceil(low / step - 1e-9)
  return Array.from({ length: Math.floor(high / step + 1e-9) - first + 1 }, (_, i) => (first + i) * step)
}

/** Powers of ten, or some of them where they are many; 1, 2 and 5 times a power where they are few. */
function decadeTicks(low: number, high: number): readonly number[] {
  const [first, last] = [Math.floor(Math.log10(low)), Math.ceil(Math.log10(high))]
  const factors = last - first <= 3 ? [1, 2, 5] : [1]
  const stride = Math.max(1, Math.ceil((last - first) / 10))
  const powers = Array.from({ length: last - first + 1 }, (_, i) => first + i).filter((power) => power % stride === 0)
  const all = powers.flatMap((power) => factors.map((factor) => Number(`${factor}e${power}`)))
  const inside = all.filter((value) => value >= low * 0.999 && value <= high * 1.001)
  return inside.length > 0 ? inside : [low]
}

function isPlaced(scale: Scale, value: number): boolean {
  return Number.isFinite(scale.place(value))
}

/** Colours as far apart as there is room for, in two brightnesses by turns. */
function colour(index: number, count: number): string {
  return `hsl(${Math.round((360 * index) / count)}, 70%, ${index % 2 === 0 ? 38 : 52}%)`
}

interface TextPlace {
  readonly x: number
  readonly y: number
  readonly size?: number
  readonly anchor?: 'middle' | 'end'
}

function text(content: string, { x, y, size: fontSize, anchor }: TextPlace): string {
  const style = `${fontSize ? ` font-size="${fontSize}"` : ''}${anchor ? ` text-anchor="${anchor}"` : ''}`
  return `<text x="${round(x)}" y="${round(y)}"${style} fill="#222222">${escaped(content)}</text>`
}

function line(from: readonly [number, number], to: readonly [number, number], stroke: string): string {
  return `<line x1="${from[0]}" y1="${from[1]}" x2="${to[0]}" y2="${to[1]}" stroke="${stroke}"/>`
}

const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }

function escaped(content: string): string {
  return content.replace(/[&<>"]/g, (character) => entities[character] ?? '')
}

function round(value: number): number {
  return Math.round(value * 100) / 100
}

/** At most six digits, and without those that rounding left; powers of ten far from 1 in short. */
function number(value: number): string {
  const short = Number(value.toPrecision(6))
  return short !== 0 && (Math.abs(short) < 1e-3 || Math.abs(short) >= 1e5)
    ? short.toExponential().replace('e+', 'e')
    : String(short)
}
