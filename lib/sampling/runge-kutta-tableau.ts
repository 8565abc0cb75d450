/**
 * Explicit Runge–Kutta methods as data (Butcher 1963; Hairer, Nørsett and Wanner, "Solving Ordinary Differential Equations I",
 * 1993, chapter II). Over a step h of du,
 *
 *     k_i = slope(u + c_i h, y + h Σ_j a_ij k_j),   y(u + h) = y + h Σ b_i k_i
 *
 * Every table is checked when it is made: Σ_j a_ij = c_i, and for every rooted tree τ of at most p vertices, which is what
 * order p means (there, theorem 2.13), Σ b_i Φ_i(τ) = 1 / γ(τ).
 */
import { DpmError } from '../errors.js'

export interface Tableau {
  /** p: the error at the end of the way is O(h^p). */
  readonly order: number
  /** c_i, from 0 on. */
  readonly nodes: readonly number[]
  /** a_ij: row i names the stages before stage i. */
  readonly stages: readonly (readonly number[])[]
  /** b_i. */
  readonly weights: readonly number[]
}

/** A tableau with second weights, whose result differs from the first by an estimate of the error. */
export interface EmbeddedTableau extends Tableau {
  readonly embedded: { readonly order: number; readonly weights: readonly number[] }
}

/** @throws DpmError DPM_INTERNAL for a table that is not of the order that it says. */
export function defineTableau<Defined extends Tableau & Partial<EmbeddedTableau>>(
  name: string,
  tableau: Defined,
): Defined {
  const { order, nodes, stages, weights, embedded } = tableau
  stages.forEach((row, i) => {
    if (row.length !== i || !near(total(row), nodes[i])) throw fault(name, `row ${i} does not add up to its node`)
  })
  for (const [vertices, wanted] of [
    [weights, order],
    ...(embedded ? [[embedded.weights, embedded.order] as const] : []),
  ] as const) {
    if (stages.length !== vertices.length) throw fault(name, 'stages and weights differ in number')
    for (const tree of treesUpTo(wanted)) {
      const sum = total(elementaryWeights(tree, stages).map((phi, i) => phi * (vertices[i] ?? 0)))
      if (!near(sum, 1 / density(tree))) throw fault(name, `its order is less than ${wanted}`)
    }
  }
  return tableau
}

/** The methods that `runge-kutta` knows by name. */
export const tableaus = {
  /** Order 1. */
  euler: defineTableau('euler', { order: 1, nodes: [0], stages: [[]], weights: [1] }),
  /** Order 2: the slope half-way. */
  midpoint: defineTableau('midpoint', { order: 2, nodes: [0, 1 / 2], stages: [[], [1 / 2]], weights: [0, 1] }),
  /** Order 2: the mean of the slopes at both ends. */
  heun: defineTableau('heun', { order: 2, nodes: [0, 1], stages: [[], [1]], weights: [1 / 2, 1 / 2] }),
  /** Order 2 with the least bound on the error (Ralston 1962). */
  ralston: defineTableau('ralston', { order: 2, nodes: [0, 2 / 3], stages: [[], [2 / 3]], weights: [1 / 4, 3 / 4] }),
  /** Kutta's of order 3 (1901). */
  rk3: defineTableau('rk3', {
    order: 3,
    nodes: [0, 1 / 2, 1],
    stages: [[], [1 / 2], [-1, 2]],
    weights: [1 / 6, 2 / 3, 1 / 6],
  }),
  /** "The" method of order 4 (Kutta 1901). */
  rk4: defineTableau('rk4', {
    order: 4,
    nodes: [0, 1 / 2, 1 / 2, 1],
    stages: [[], [1 / 2], [0, 1 / 2], [0, 0, 1]],
    weights: [1 / 6, 1 / 3, 1 / 3, 1 / 6],
  }),
  /** Kutta's other one of order 4, the 3/8 rule. */
  'three-eighths': defineTableau('three-eighths', {
    order: 4,
    nodes: [0, 1 / 3, 2 / 3, 1],
    stages: [[], [1 / 3], [-1 / 3, 1], [1, -1, 1]],
    weights: [1 / 8, 3 / 8, 3 / 8, 1 / 8],
  }),
} satisfies Record<string, Tableau>

export type TableauName = keyof typeof tableaus
export const tableauNames = Object.keys(tableaus) as [TableauName, ...TableauName[]]

/**
 * The methods of adaptive solvers. The last stage of both is the first of the next step, because its row is the weights.
 */
export const embeddedTableaus = {
  /** Order 3 with an error estimate of order 2 (Bogacki and Shampine 1989, "A 3(2) pair of Runge-Kutta formulas"). */
  'bogacki-shampine': defineTableau('bogacki-shampine', {
    order: 3,
    nodes: [0, 1 / 2, 3 / 4, 1],
    stages: [[], [1 / 2], [0, 3 / 4], [2 / 9, 1 / 3, 4 / 9]],
    weights: [2 / 9, 1 / 3, 4 / 9, 0],
    embedded: { order: 2, weights: [7 / 24, 1 / 4, 1 / 3, 1 / 8] },
  }),
  /** Order 5 with an error estimate of order 4 (Dormand and Prince 1980, "A family of embedded Runge-Kutta formulae"). */
  'dormand-prince': defineTableau('dormand-prince', {
    order: 5,
    nodes: [0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1, 1],
    stages: [
      [],
      [1 / 5],
      [3 / 40, 9 / 40],
      [44 / 45, -56 / 15, 32 / 9],
      [19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729],
      [9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656],
      [35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84],
    ],
    weights: [35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84, 0],
    embedded: {
      order: 4,
      weights: [5179 / 57600, 0, 7571 / 16695, 393 / 640, -92097 / 339200, 187 / 2100, 1 / 40],
    },
  }),
} satisfies Record<string, EmbeddedTableau>

/** A rooted tree: the trees that hang from its root. */
type Tree = readonly Tree[]

/** Every rooted tree of 1 … `most` vertices, once. */
function treesUpTo(most: number): Tree[] {
  const bySize: Tree[][] = [[]]
  for (let size = 1; size <= most; size++) bySize[size] = forests(size - 1, bySize, size - 1, Number.POSITIVE_INFINITY)
  return bySize.flat()
}

/** Multisets of trees with so many vertices together, their trees in falling order of size and place in the list. */
function forests(vertices: number, bySize: readonly Tree[][], largest: number, lastPlace: number): Tree[] {
  if (vertices === 0) return [[]]
  const found: Tree[] = []
  for (let size = Math.min(vertices, largest); size >= 1; size--) {
    bySize[size]?.forEach((tree, place) => {
      if (size === largest && place > lastPlace) return
      for (const rest of forests(vertices - size, bySize, size, place)) found.push([tree, ...rest])
    })
  }
  return found
}

function vertexCount(tree: Tree): number {
  return 1 + total(tree.map(vertexCount))
}

/** γ: the vertices of the tree times the densities of what hangs from its root. */
function density(tree: Tree): number {
  return tree.reduce((product, branch) => product * density(branch), vertexCount(tree))
}

/** Φ_i of every stage i: the product over the branches of Σ_j a_ij Φ_j(branch). */
function elementaryWeights(tree: Tree, stages: Tableau['stages']): number[] {
  const branches = tree.map((branch) => elementaryWeights(branch, stages))
  return stages.map((row) =>
    branches.reduce((product, phi) => product * total(row.map((a, j) => a * (phi[j] ?? 0))), 1),
  )
}

function total(numbers: readonly number[]): number {
  return numbers.reduce((sum, one) => sum + one, 0)
}

function near(a: number, b = Number.NaN): boolean {
  return Math.abs(a - b) < 1e-14
}

function fault(name: string, what: string): DpmError {
  return new DpmError('DPM_INTERNAL', `The Runge–Kutta table ${name} is wrong: ${what}.`)
}
