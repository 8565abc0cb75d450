/** A profile as a picture: a bar for each operation as long as its time, dark as far as the roofline asks for it. */
import { line, round, text } from '../images/chart.js'
import type { Benchmark, Measurement } from './benchmark.js'
import type { ProfiledOperation } from './roofline.js'

const bars = 24
const [left, bar, rowHeight, titleHeight, right] = [300, 15, 21, 40, 250] as const
const length = 480

/** Hues of the phases, light and dark. */
const colours: Readonly<Record<ProfiledOperation['phase'] | 'none', readonly [light: string, dark: string]>> = {
  forward: ['#a9d3f2', '#2f7fb8'],
  backward: ['#f5c9a3', '#c8681a'],
  update: ['#bfe3b4', '#4c9a37'],
  none: ['#d5d5d5', '#8a8a8a'],
}

interface Bar {
  readonly name: string
  readonly phase: keyof typeof colours
  readonly seconds: number
  readonly share: number
  readonly roofline: number | null
}

/** An SVG document. */
export function profileChart({ name, batch, precision, machine, training, evaluation }: Benchmark): string {
  const panels = Object.entries({ 'training step': training, evaluation }).flatMap(([title, measured]) =>
    measured
      ? [{ title: `${title}, ${(1000 * measured.profile.seconds).toPrecision(4)} ms`, rows: barsOf(measured) }]
      : [],
  )
  const heights = panels.map(({ rows }) => titleHeight + rowHeight * rows.length + 16)
  const top = 66
  const [width, height] = [left + length + right, top + heights.reduce((sum, one) => sum + one, 0)]
  let at = top
  const drawn = panels.flatMap(({ title, rows }, i) => {
    const y = at
    at += heights[i] ?? 0
    return [`<g transform="translate(0 ${y})">`, ...panel(title, rows), '</g>']
  })
  const legend = (['forward', 'backward', 'update'] as const).flatMap((phase, i) => [
    rectangle(left + 110 * i, 42, 12, 12, colours[phase][1]),
    text(phase, { x: left + 110 * i + 18, y: 52 }),
  ])
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="DejaVu Sans, Arial, sans-serif" font-size="11">`,
    '<rect width="100%" height="100%" fill="#ffffff"/>',
    text(
      `${name}, batch ${batch}, ${precision}: own time of each operation; dark: what ${round(machine.flopsPerSecond / 1e9)} GFLOP/s and ${round(machine.bytesPerSecond / 1e9)} GB/s allow`,
      { x: 16, y: 26, size: 14 },
    ),
    ...legend,
    ...drawn,
    '</svg>',
    '',
  ].join('\n')
}

function barsOf({ profile }: Measurement): Bar[] {
  const shown: Bar[] = profile.operations.slice(0, bars).map((operation) => operation)
  const last = (name: string, seconds: number): Bar => ({
    name,
    phase: 'none',
    seconds,
    share: seconds / profile.seconds,
    roofline: null,
  })
  const rest = profile.operations.slice(bars)
  const others = rest.reduce((sum, { seconds }) => sum + seconds, 0)
  return [
    ...shown,
    ...(rest.length > 0 ? [last(`${rest.length} others`, others)] : []),
    last('between operations', profile.betweenSeconds),
  ]
}

function panel(title: string, rows: readonly Bar[]): string[] {
  const longest = Math.max(...rows.map(({ seconds }) => seconds), Number.MIN_VALUE)
  const bottom = titleHeight - 4 + rowHeight * rows.length
  return [
    text(title, { x: left, y: titleHeight - 14, size: 13 }),
    ...rows.flatMap(({ name, phase, seconds, share, roofline }, i) => {
      const y = titleHeight + rowHeight * i
      const [light, dark] = colours[phase]
      const across = (length * seconds) / longest
      const allowed = roofline === null ? '' : `, ${percent(roofline)} of the roofline`
      return [
        text(name, { x: left - 8, y: y + 12, anchor: 'end' }),
        rectangle(left, y, across, bar, light),
        roofline === null ? '' : rectangle(left, y, across * Math.min(1, roofline), bar, dark),
        text(`${(1000 * seconds).toPrecision(3)} ms, ${percent(share)}${allowed}`, {
          x: left + across + 6,
          y: y + 12,
        }),
      ]
    }),
    line([left, titleHeight - 6], [left, bottom], '#444444'),
  ]
}

function percent(share: number): string {
  return `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)} %`
}

function rectangle(x: number, y: number, width: number, height: number, fill: string): string {
  return `<rect x="${round(x)}" y="${round(y)}" width="${round(width)}" height="${height}" fill="${fill}"/>`
}
