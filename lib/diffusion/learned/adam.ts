/**
 * Adam (Kingma and Ba 2015, arXiv 1412.6980, algorithm 1) on a handful of float64 numbers:
 *
 *     m ← beta1 m + (1 - beta1) g,   v ← beta2 v + (1 - beta2) g²
 *     p ← p - rate · m / (1 - beta1^n) / (sqrt(v / (1 - beta2^n)) + epsilon)
 */
const beta1 = 0.9
const beta2 = 0.999
const epsilon = 1e-8

export type Numbers = Readonly<Record<string, Float64Array>>

export class Adam {
  /** The parameters by their names, the moments as `first.<name>` and `second.<name>`, and the count of updates: one number. */
  readonly state: Numbers
  readonly #parameters: Numbers
  readonly #updates = new Float64Array(1)

  constructor(parameters: Numbers) {
    this.#parameters = parameters
    const moments = Object.entries(parameters).flatMap(([name, { length }]) =>
      ['first', 'second'].map((moment) => [`${moment}.${name}`, new Float64Array(length)] as const),
    )
    this.state = { ...parameters, ...Object.fromEntries(moments), updates: this.#updates }
  }

  /** One step downhill. @param gradients by name, as many numbers as the parameter has. */
  update(gradients: Numbers, learningRate: number): void {
    const count = (this.#updates[0] ?? 0) + 1
    this.#updates[0] = count
    const rate = learningRate / (1 - beta1 ** count)
    const spread = 1 / (1 - beta2 ** count)
    for (const [name, parameter] of Object.entries(this.#parameters)) {
      const first = this.state[`first.${name}`]
      const second = this.state[`second.${name}`]
      const gradient = gradients[name]
      if (!first || !second || gradient?.length !== parameter.length) {
        throw new TypeError(`Adam expected ${parameter.length} numbers as the gradient of \`${name}\`.`)
      }
      for (const [i, slope] of gradient.entries()) {
        const mean = beta1 * (first[i] ?? 0) + (1 - beta1) * slope
        const power = beta2 * (second[i] ?? 0) + (1 - beta2) * slope * slope
        first[i] = mean
        second[i] = power
        parameter[i] = (parameter[i] ?? 0) - (rate * mean) / (Math.sqrt(power * spread) + epsilon)
      }
    }
  }
}
