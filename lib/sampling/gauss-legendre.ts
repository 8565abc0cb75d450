/** Integrals by the Gauss–Legendre rule of 8 points: exact for polynomials of degree 15 or less. */

/** Positive nodes of the rule on [-1, 1] and their weights (Abramowitz and Stegun, table 25.4); the rest mirror these. */
const rule = [
  [0.1834346424956498, 0.362683783378362],
  [0.525532409916329, 0.31370664587788727],
  [0.7966664774136267, 0.22238103445337448],
  [0.9602898564975363, 0.10122853629037626],
] as const

/** Points and weights with which sum of weight · f(point) is the integral of f from `from` to `to`. */
export function gaussLegendre(from: number, to: number): readonly (readonly [point: number, weight: number])[] {
  const [middle, half] = [(from + to) / 2, (to - from) / 2]
  return rule.flatMap(([node, weight]) => [
    [middle - half * node, half * weight] as const,
    [middle + half * node, half * weight] as const,
  ])
}

/** l_j(at), the polynomial of least degree that is 1 at node j and 0 at the other nodes (Lagrange). */
export function lagrange(nodes: readonly number[], j: number, at: number): number {
  const own = nodes[j] ?? 0
  return nodes.reduce((product, node, k) => (k === j ? product : (product * (at - node)) / (own - node)), 1)
}
