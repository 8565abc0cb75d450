/** Line charts, several side by side on the same axes: an SVG document from series of points, and its picture. */
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

/** A plot of some of the series; those of the other panels stand behind them in grey. */
export interface ChartPanel {
  readonly title: string
  readonly series: readonly ChartSeries[]
}

export interface LineChart {
  readonly title: string
  readonly x: ChartAxis
  readonly y: ChartAxis
  readonly panels: readonly ChartPanel[]
  /** Panels in a row; at most three when absent. */
  readonly columns?: number | undefined
  /** Values of y above it lie outside, and lines go there; all are inside when absent. */
  readonly highest?: number | undefined
}

export type ChartScale = keyof typeof scales

interface Scale {
  /** Where on a straight line a value lies; not finite where it has no place. */
  readonly place: (value: number) => number
  /** Values to write at an axis from one value to another, about six. */
  readonly ticks: (low: number, high: number) => readonly number[]
}

export const scales = {
  linear: { place: (value) => value, ticks: evenTicks },
  log: { place: Math.log10, ticks: decadeTicks },
} as const satisfies Record<string, Scale>

/** Of a panel: its plot, with room for the numbers at the axes, and the lines of its legend beneath. */
const panelSize = {
  width: 400,
  left: 62,
  top: 30,
  plotWidth: 322,
  plotHeight: 260,
  legendTop: 42,
  legendLine: 16,
} as const
const page = { left: 30, top: 44, bottom: 14 } as const
const legendColumns = 2
const dashes = ['', '7 3', '2 3', '9 3 2 3'] as const

/**
 * The chart as an SVG document. All panels have the same axes, which reach over all points. Names may hold any text.
 * @throws DpmError DPM_INVALID_ARGUMENT when no series has a point that can be drawn.
 */
export function lineChart({ title, x, y, panels, columns = Math.min(3, panels.length), highest }: LineChart): string {
  const [xScale, yScale] = [scales[x.scale ?? 'linear'], scales[y.scale ?? 'linear']]
  const placed = panels.map((panel) => ({
    title: panel.title,
    series: panel.series.map(({ name, points }) => ({
      name,
      points: points.filter((point) => isPlaced(xScale, point[0]) && isPlaced(yScale, point[1])),
    })),
  }))
  const all = placed.flatMap(({ series }) => series.flatMap(({ points }) => points))
  if (all.length === 0) throw expected('at least one finite point', 'panels', panels.length)
  const { left, top, plotWidth, plotHeight, legendTop, legendLine } = panelSize
  const horizontal = new Axis(
    xScale,
    all.map(([value]) => value),
    [left, left + plotWidth],
  )
  const inside = all.map(([, value]) => Math.min(value, highest ?? value))
  const vertical = new Axis(yScale, inside, [top + plotHeight, top])
  const legendRows = Math.max(...placed.map(({ series }) => Math.ceil(series.length / legendColumns)))
  const panelHeight = top + plotHeight + legendTop + legendLine * legendRows + 14
  const width = page.left + columns * panelSize.width
  const height = page.top + Math.ceil(placed.length / columns) * panelHeight + page.bottom
  const grey = placed.flatMap(({ series }) => series.map(({ points }) => polyline(points, horizontal, vertical, shade)))
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="DejaVu Sans, Arial, sans-serif" font-size="11">`,
    `<clipPath id="plot"><rect x="${left}" y="${top}" width="${plotWidth}" height="${plotHeight}"/></clipPath>`,
    '<rect width="100%" height="100%" fill="#ffffff"/>',
    text(title, { x: page.left, y: 26, size: 15 }),
    `<g transform="translate(20 ${page.top + (height - page.top) / 2}) rotate(-90)">${text(y.label, { x: 0, y: 0, anchor: 'middle', size: 12 })}</g>`,
    ...placed.flatMap((panel, index) => {
      const [column, row] = [index % columns, Math.floor(index / columns)]
      return [
        `<g transform="translate(${page.left + column * panelSize.width} ${page.top + row * panelHeight})">`,
        text(panel.title, { x: left, y: top - 10, size: 13 }),
        ...axisLines(horizontal, vertical, x.label),
        `<g clip-path="url(#plot)">${placed.length > 1 ? grey.join('') : ''}${panel.series
          .map(({ points }, at) => markedLine(points, horizontal, vertical, styleOf(at, panel.series.length)))
          .join('')}</g>`,
        ...panel.series.map(({ name }, at) => legendEntry(name, at, styleOf(at, panel.series.length))),
        '</g>',
      ]
    }),
    '</svg>',
    '',
  ].join('\n')
}

function axisLines(horizontal: Axis, vertical: Axis, label: string): string[] {
  const { left, top, plotWidth, plotHeight } = panelSize
  const [right, bottom] = [left + plotWidth, top + plotHeight]
  return [
    ...horizontal.ticks.flatMap(([value, at]) => [
      line([at, top], [at, bottom], '#e4e4e4'),
      text(number(value), { x: at, y: bottom + 15, anchor: 'middle' }),
    ]),
    ...vertical.ticks.flatMap(([value, at]) => [
      line([left, at], [right, at], '#e4e4e4'),
      text(number(value), { x: left - 6, y: at + 4, anchor: 'end' }),
    ]),
    `<rect x="${left}" y="${top}" width="${plotWidth}" height="${plotHeight}" fill="none" stroke="#444444"/>`,
    text(label, { x: left + plotWidth / 2, y: bottom + 31, anchor: 'middle' }),
  ]
}

interface LineStyle {
  readonly stroke: string
  readonly width: number
  readonly dash: string
}

/** What stands behind. */
const shade: LineStyle = { stroke: '#dcdcdc', width: 1, dash: '' }

function styleOf(index: number, count: number): LineStyle {
  return { stroke: colour(index, count), width: 1.8, dash: dashes[index % dashes.length] ?? '' }
}

type Points = ChartSeries['points']

function polyline(points: Points, horizontal: Axis, vertical: Axis, style: LineStyle): string {
  const at = points.map(([px, py]) => `${round(horizontal.at(px))},${round(vertical.at(py))}`)
  return `<polyline points="${at.join(' ')}" ${attributes(style)}/>`
}

/** Where points are few they are marked; many of them would hide the line. */
function markedLine(points: Points, horizontal: Axis, vertical: Axis, style: LineStyle): string {
  const marked = points.length > 24 ? [] : points
  return [
    polyline(points, horizontal, vertical, style),
    ...marked.map(
      ([px, py]) =>
        `<circle cx="${round(horizontal.at(px))}" cy="${round(vertical.at(py))}" r="2.4" fill="${style.stroke}"/>`,
    ),
  ].join('')
}

function legendEntry(name: string, index: number, style: LineStyle): string {
  const { left, top, plotWidth, plotHeight, legendTop, legendLine } = panelSize
  const x = left + (index % legendColumns) * (plotWidth / legendColumns)
  const y = top + plotHeight + legendTop + Math.floor(index / legendColumns) * legendLine + 8
  return `<line x1="${x}" y1="${y}" x2="${x + 26}" y2="${y}" ${attributes(style)}/>${text(name, { x: x + 32, y: y + 4 })}`
}

function attributes({ stroke, width, dash }: LineStyle): string {
  return `fill="none" stroke="${stroke}" stroke-width="${width}"${dash ? ` stroke-dasharray="${dash}"` : ''}`
}

/** The picture of an SVG document as PNG bytes. @param density pixels per pixel of the document; 2 when absent */
export async function chartPicture(svg: string, density = 2): Promise<Buffer> {
  const sharp = await loadSharp()
  return sharp(new TextEncoder().encode(svg), { density: 72 * density })
    .png()
    .toBuffer()
}

/** A stretch of a scale on a stretch of the picture, with a margin beyond the values. */
export class Axis {
  readonly ticks: readonly (readonly [value: number, at: number])[]
  readonly #scale: Scale
  readonly #low: number
  readonly #perUnit: number
  readonly #from: number

  constructor(scale: Scale, values: readonly number[], [from, to]: readonly [number, number]) {
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
  return `hsl(${Math.round((360 * index) / count)}, 70%, ${index % 2 === 0 ? 36 : 45}%)`
}

interface TextPlace {
  readonly x: number
  readonly y: number
  readonly size?: number
  readonly anchor?: 'middle' | 'end'
}

export function text(content: string, { x, y, size: fontSize, anchor }: TextPlace): string {
  const style = `${fontSize ? ` font-size="${fontSize}"` : ''}${anchor ? ` text-anchor="${anchor}"` : ''}`
  return `<text x="${round(x)}" y="${round(y)}"${style} fill="#222222">${escaped(content)}</text>`
}

export function line(from: readonly [number, number], to: readonly [number, number], stroke: string): string {
  return `<line x1="${from[0]}" y1="${from[1]}" x2="${to[0]}" y2="${to[1]}" stroke="${stroke}"/>`
}

const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }

function escaped(content: string): string {
  return content.replace(/[&<>"]/g, (character) => entities[character] ?? '')
}

export function round(value: number): number {
  return Math.round(value * 100) / 100
}

/** At most six digits, and without those that rounding left; powers of ten far from 1 in short. */
export function number(value: number): string {
  const short = Number(value.toPrecision(6))
  return short !== 0 && (Math.abs(short) < 1e-3 || Math.abs(short) >= 1e5)
    ? short.toExponential().replace('e+', 'e')
    : String(short)
}
