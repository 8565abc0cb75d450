/**
 * The monotone network of VDM (Kingma et al. 2021, arXiv 2107.00630, appendix H): of a place p from 0 to 1,
 *
 *     g(p) = l1(p) + l3(sigmoid(l2(l1(p)))),   S(p) = (g(p) - g(0)) / (g(1) - g(0))
 *
 * with linear layers l1 (1 → 1), l2 (1 → units) and l3 (units → 1, a mean over the units) whose weights are made positive by
 * their absolute values. S rises from 0 to 1, whatever the parameters; a bias of l3 would cancel.
 *
 * It begins almost straight: every unit is a step of its own place, these evenly spread over the range and a little beyond.
 */
import type { Numbers } from './adam.js'

/** The value and the slope of something at a place. */
export interface Point {
  readonly value: number
  readonly slope: number
}

/** A place, and the derivatives of a loss by S and by its slope there. */
export interface PlacedGradient {
  readonly place: number
  readonly byValue: number
  readonly bySlope: number
}

const steepness = 20
const margin = 0.25

export class MonotoneNetwork {
  readonly parameters: Numbers
  readonly #line: Float64Array
  readonly #slopes: Float64Array
  readonly #offsets: Float64Array
  readonly #heights: Float64Array
  #ends: { readonly first: Point; readonly last: Point } | undefined

  constructor(units: number) {
    const center = (unit: number): number => (1 + 2 * margin) * ((unit + 0.5) / units) - margin
    this.#line = Float64Array.of(1, 0)
    this.#slopes = new Float64Array(units).fill(steepness)
    this.#offsets = Float64Array.from({ length: units }, (_, unit) => -steepness * center(unit))
    this.#heights = new Float64Array(units).fill(1)
    this.parameters = {
      line: this.#line,
      slopes: this.#slopes,
      offsets: this.#offsets,
      heights: this.#heights,
    }
  }

  /** S and dS / dp. */
  at(place: number): Point {
    const { first, range } = this.#normalized()
    const { value, slope } = this.#raw(place)
    return { value: (value - first.value) / range, slope: slope / range }
  }

  /** After the parameters changed. */
  changed(): void {
    this.#ends = undefined
  }

  /** Derivatives of a loss by the parameters, from those by S and its slope at places. */
  gradients(points: readonly PlacedGradient[]): Record<string, Float64Array> {
    const { range } = this.#normalized()
    const sums = Object.fromEntries(
      Object.entries(this.parameters).map(([name, { length }]) => [name, new Float64Array(length)]),
    )
    let byFirst = 0
    let byLast = 0
    for (const { place, byValue, bySlope } of points) {
      const { value, slope } = this.at(place)
      const byRange = -(byValue * value + bySlope * slope) / range
      byFirst -= byValue / range + byRange
      byLast += byRange
      this.#addRaw({ place, byValue: byValue / range, bySlope: bySlope / range }, sums)
    }
    this.#addRaw({ place: 0, byValue: byFirst, bySlope: 0 }, sums)
    this.#addRaw({ place: 1, byValue: byLast, bySlope: 0 }, sums)
    return sums
  }

  #normalized(): { readonly first: Point; readonly range: number } {
    this.#ends ??= { first: this.#raw(0), last: this.#raw(1) }
    const { first, last } = this.#ends
    return { first, range: last.value - first.value }
  }

  /** g and its slope. */
  #raw(place: number): Point {
    const [weight = 0, bias = 0] = this.#line
    const units = this.#heights.length
    const inner = Math.abs(weight) * place + bias
    let value = 0
    let slope = 0
    for (let unit = 0; unit < units; unit++) {
      const steep = Math.abs(this.#slopes[unit] ?? 0)
      const height = Math.abs(this.#heights[unit] ?? 0)
      const step = sigmoid(steep * inner + (this.#offsets[unit] ?? 0))
      value += height * step
      slope += height * steep * step * (1 - step)
    }
    return { value: inner + value / units, slope: Math.abs(weight) * (1 + slope / units) }
  }

  /** Adds the derivatives of byValue · g + bySlope · g' at a place. */
  #addRaw({ place, byValue, bySlope }: PlacedGradient, sums: Record<string, Float64Array>): void {
    const { line, slopes, offsets, heights } = sums
    if (!line || !slopes || !offsets || !heights) return
    const [weight = 0, bias = 0] = this.#line
    const units = this.#heights.length
    const rise = Math.abs(weight)
    const inner = rise * place + bias
    let byInner = byValue
    let byRise = bySlope
    for (let unit = 0; unit < units; unit++) {
      const rawSteep = this.#slopes[unit] ?? 0
      const rawHeight = this.#heights[unit] ?? 0
      const steep = Math.abs(rawSteep)
      const height = Math.abs(rawHeight)
      const step = sigmoid(steep * inner + (this.#offsets[unit] ?? 0))
      const first = step * (1 - step)
      const second = first * (1 - 2 * step)
      const bySum = (height / units) * (byValue * first + bySlope * rise * steep * second)
      const bySteep = bySum * inner + (bySlope * rise * height * first) / units
      heights[unit] =
        (heights[unit] ?? 0) + (Math.sign(rawHeight) * (byValue * step + bySlope * rise * steep * first)) / units
      slopes[unit] = (slopes[unit] ?? 0) + Math.sign(rawSteep) * bySteep
      offsets[unit] = (offsets[unit] ?? 0) + bySum
      byInner += bySum * steep
      byRise += (bySlope * height * steep * first) / units
    }
    line[0] = (line[0] ?? 0) + Math.sign(weight) * (byInner * place + byRise)
    line[1] = (line[1] ?? 0) + byInner
  }
}

function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x))
}
