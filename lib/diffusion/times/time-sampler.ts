/** How training chooses the time of an example: by a counter, so that no order, batch size or restart changes it. */
export interface TimeSampler {
  readonly name: string
  /**
   * The time at which an example is trained in an epoch.
   * @param epoch whole number below 2^32
   * @param example index in the data set
   * @param steps T, the number of times
   * @returns a whole number from 0 to steps - 1
   */
  timeOf(seed: number, epoch: number, example: number, steps: number): number
}
