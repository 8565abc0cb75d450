/**
 * The laws of points on which generative models are tried first, as the examples of FFJORD (Grathwohl et al. 2019, arXiv
 * 1810.01367) and scikit-learn have them. A point is a function of four uniforms u in (0, 1) and of two standard normals n.
 */

export interface Point {
  readonly at: readonly number[]
  /** Index of the class that it is of; absent where the law has none. */
  readonly label?: number
}

export interface PointLaw {
  readonly columns: readonly string[]
  readonly classes: readonly string[]
  /** @param noise factor on the law's own blur */
  draw(u: ArrayLike<number>, n: ArrayLike<number>, noise: number): Point
}

/** One of the normals of a mixture, the same in every column. */
export interface PointMode {
  readonly weight: number
  readonly mean: number | readonly number[]
  readonly deviation: number
}

const plane = ['x', 'y']
const numbered = (count: number): string[] => Array.from({ length: count }, (_, index) => String(index))
const one = (values: ArrayLike<number>, index: number): number => values[index] ?? 0

/** Distance of the 8 Gaussians from the middle, and their deviation. */
export const eightGaussiansScale = { radius: 4 / Math.SQRT2, deviation: 0.5 / Math.SQRT2 } as const

export const pointLaws = {
  /** Eight normals on a circle, of equal weight, anticlockwise from the right. */
  '8-gaussians': {
    columns: plane,
    classes: numbered(8),
    draw(u, n, noise) {
      const label = Math.floor(8 * one(u, 0))
      const { radius, deviation } = eightGaussiansScale
      const angle = (label * Math.PI) / 4
      const at = [Math.cos(angle), Math.sin(angle)].map((side, i) => radius * side + noise * deviation * one(n, i))
      return { at, label }
    },
  },
  /** t (cos t, sin t) / 5 with t evenly in 1.5π … 4.5π, blurred by 1/5. */
  'swiss-roll': {
    columns: plane,
    classes: [],
    draw(u, n, noise) {
      const t = 1.5 * Math.PI * (1 + 2 * one(u, 0))
      return { at: [(t * Math.cos(t) + noise * one(n, 0)) / 5, (t * Math.sin(t) + noise * one(n, 1)) / 5] }
    },
  },
  /** Two half circles that reach into each other, twice scikit-learn's, blurred by 0.2. */
  moons: {
    columns: plane,
    classes: ['upper', 'lower'],
    draw(u, n, noise) {
      const label = one(u, 0) < 0.5 ? 0 : 1
      const angle = Math.PI * one(u, 1)
      const [x, y] = label === 0 ? [Math.cos(angle), Math.sin(angle)] : [1 - Math.cos(angle), 0.5 - Math.sin(angle)]
      return { at: [2 * x - 1 + 0.2 * noise * one(n, 0), 2 * y - 0.2 + 0.2 * noise * one(n, 1)], label }
    },
  },
  /** Every second of 4×4 squares on [-4, 4]². It has no blur. */
  checkerboard: {
    columns: plane,
    classes: [],
    draw(u) {
      const x = 4 * one(u, 0) - 2
      const shift = Math.floor(x) % 2 === 0 ? 0 : 1
      return { at: [2 * x, 2 * (one(u, 1) - 2 * (one(u, 2) < 0.5 ? 0 : 1) + shift)] }
    },
  },
  /** Two spirals of one and a half turns. */
  spirals: {
    columns: plane,
    classes: numbered(2),
    draw(u, n, noise) {
      const t = Math.sqrt(one(u, 0)) * 3 * Math.PI
      const label = one(u, 1) < 0.5 ? 0 : 1
      const sign = label === 0 ? 1 : -1
      const x = (sign * (-Math.cos(t) * t + noise * one(u, 2) * 0.5)) / 3
      const y = (sign * (Math.sin(t) * t + noise * one(u, 3) * 0.5)) / 3
      return { at: [x + 0.1 * noise * one(n, 0), y + 0.1 * noise * one(n, 1)], label }
    },
  },
  /** Four circles of radii 0.75, 1.5, 2.25 and 3, equally often, blurred by 0.08. */
  rings: {
    columns: plane,
    classes: numbered(4),
    draw(u, n, noise) {
      const label = Math.floor(4 * one(u, 0))
      const angle = 2 * Math.PI * one(u, 1)
      const radius = 0.75 * (label + 1)
      return {
        at: [Math.cos(angle), Math.sin(angle)].map((side, i) => radius * side + 0.08 * noise * one(n, i)),
        label,
      }
    },
  },
  /** Five normals, long and thin, turned the further the more they are out (Johnson et al. 2016, arXiv 1603.06277). */
  pinwheel: {
    columns: plane,
    classes: numbered(5),
    draw(u, n, noise) {
      const label = Math.floor(5 * one(u, 0))
      const radial = 1 + 0.3 * noise * one(n, 0)
      const tangential = 0.1 * noise * one(n, 1)
      const angle = (2 * Math.PI * label) / 5 + 0.25 * Math.exp(radial)
      const [cosine, sine] = [Math.cos(angle), Math.sin(angle)]
      return { at: [2 * (cosine * radial + sine * tangential), 2 * (cosine * tangential - sine * radial)], label }
    },
  },
} as const satisfies Record<string, PointLaw>

export type PointLawName = keyof typeof pointLaws

/** A mixture of normals in one or two dimensions; weights need not add up to 1. */
export function mixtureLaw(modes: readonly PointMode[]): PointLaw {
  const total = modes.reduce((sum, { weight }) => sum + weight, 0)
  const dimensions = Math.max(...modes.map(({ mean }) => (typeof mean === 'number' ? 1 : mean.length)))
  return {
    columns: ['x', 'y'].slice(0, dimensions),
    classes: numbered(modes.length),
    draw(u, n, noise) {
      let left = total * one(u, 0)
      let label = 0
      for (; label < modes.length - 1; label++) {
        left -= modes[label]?.weight ?? 0
        if (left < 0) break
      }
      const { mean = 0, deviation = 1 } = modes[label] ?? {}
      const center = typeof mean === 'number' ? [mean] : mean
      return { at: center.map((value, i) => value + noise * deviation * one(n, i)), label }
    },
  }
}
