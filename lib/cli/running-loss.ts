/** The loss as a person wants to see it: of single steps it jumps, averaged over the last hundred or so it shows a trend. */
const keep = 0.98

export class RunningLoss {
  #sum = 0
  #weight = 0

  add(loss: number): void {
    this.#sum = keep * this.#sum + (1 - keep) * loss
    this.#weight = keep * this.#weight + (1 - keep)
  }

  /** Weights fall by 2 % per step; they add up to one from the first step on. Undefined before it. */
  get mean(): number | undefined {
    return this.#weight === 0 ? undefined : this.#sum / this.#weight
  }
}
