/** What a random number is for. Purposes key the draws apart; native code has the same list in `engine/philox.h`. */
export const noisePurposes = {
  initial: 0,
  step: 1,
  training: 2,
  time: 3,
  dropout: 4,
  shuffle: 5,
  flip: 6,
  condition: 7,
  weights: 8,
} as const
export type NoisePurpose = keyof typeof noisePurposes
