/** The errors of a selftest as a picture: a panel for each family of samplers. */
import { type ChartSeries, lineChart } from '../../images/chart.js'
import type { SamplerKind } from '../../sampling/samplers.js'
import type { SamplerCheck } from './sampler-check.js'
import type { Selftest } from './selftest.js'

const families: Readonly<Record<string, readonly SamplerKind[]>> = {
  'Single-step': ['ddim', 'ddim-inversion', 'euler', 'heun', 'edm', 'dpm2'],
  Multistep: ['lms', 'pndm', 'ipndm', 'deis'],
  'DPM-Solver and UniPC': ['dpm-solver-2', 'dpm-solver-3', 'dpm++2s', 'dpm++2m', 'dpm++3m', 'unipc'],
  'Runge–Kutta and straight paths': ['runge-kutta', 'rk4', 'rk23', 'rk45', 'flow-euler', 'flow-midpoint', 'flow-heun'],
  'Ancestral and Langevin': ['ddpm', 'euler-ancestral', 'dpm2-ancestral', 'repaint', 'annealed-langevin'],
  'SDE solvers': ['dpm++sde', 'dpm++2m-sde', 'dpm++3m-sde', 'predictor-corrector'],
}
/** Those that no family names. */
const others = 'Others'

/** Errors so large say nothing: a run that ends ten deviations from the data has run wild. */
const largestShown = 10

/**
 * Error on the mixture against evaluations, both logarithmic, as an SVG document; undefined where no sampler has an error to
 * show.
 */
export function selftestChart({ samplers, budgets }: Selftest): string | undefined {
  const panels = Object.entries({ ...families, [others]: [] })
    .map(([title, kinds]) => ({
      title,
      series: joined(
        samplers.filter((check) => familyOf(check, title, kinds)).map((check) => seriesOf(check, budgets)),
      ),
    }))
    .filter(({ series }) => series.length > 0)
  if (panels.length === 0) return undefined
  return lineChart({
    title: `Error on a mixture of two Gaussians, in deviations of the data (errors above ${largestShown} lie outside)`,
    x: { label: 'evaluations of the network', scale: 'log' },
    y: { label: 'error', scale: 'log' },
    panels,
    highest: largestShown,
  })
}

function familyOf({ sampler }: SamplerCheck, title: string, kinds: readonly string[]): boolean {
  const isNamed = Object.values(families).some((family) => (family as readonly string[]).includes(sampler))
  return isNamed ? kinds.includes(sampler) : title === others
}

function seriesOf({ sampler, measured }: SamplerCheck, budgets: readonly number[]): ChartSeries {
  const points = (measured?.errors.mixture ?? []).flatMap((error, i) => {
    const budget = budgets[i]
    return error === null || budget === undefined ? [] : [[budget, error] as const]
  })
  return { name: sampler, points }
}

/** Samplers whose errors are the same number for number share a line; those without errors have none. */
function joined(series: readonly ChartSeries[]): readonly ChartSeries[] {
  const lines = new Map<string, ChartSeries>()
  for (const { name, points } of series) {
    if (points.length === 0) continue
    const key = points.map(([x, y]) => `${x} ${y.toPrecision(6)}`).join(', ')
    const same = lines.get(key)
    lines.set(key, { name: same ? `${same.name}, ${name}` : name, points })
  }
  return [...lines.values()]
}
