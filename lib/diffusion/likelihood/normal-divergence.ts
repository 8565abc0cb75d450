/**
 * KL(N(m1, v1) || N(m2, v2)) of one element, in nats:
 * (log v2 - log v1 + v1 / v2 + (m1 - m2)² / v2 - 1) / 2.
 */
export function normalDivergence(mean1: number, logVariance1: number, mean2: number, logVariance2: number): number {
  const difference = logVariance2 - logVariance1
  // expm1 keeps the digits where the two variances are nearly the same: exp(-d) - 1 + d is then about d² / 2.
  return 0.5 * (difference + Math.expm1(-difference) + (mean1 - mean2) ** 2 * Math.exp(-logVariance2))
}
