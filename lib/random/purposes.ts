/** What a random number is for. Purposes key the draws apart; native code has those that it draws, in `engine/philox.h`. */
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
  corrector: 9,
  forward: 10,
  churn: 11,
  dequantization: 12,
  probe: 13,
  coupling: 14,
  data: 15,
} as const
export type NoisePurpose = keyof typeof noisePurposes

/** The purpose that a number stands for. */
export function purposeOf(number: number): NoisePurpose {
  const found = Object.entries(noisePurposes).find(([, one]) => one === number)
  return (found?.[0] ?? 'step') as NoisePurpose
}
