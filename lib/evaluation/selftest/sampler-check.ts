/** A sampler held to what it claims: its order, and the only image of data that has one. */
import type { SamplerDefinition } from '../../sampling/define-sampler.js'
import type { SamplerExpectation } from './expectations.js'
import { measureErrors, missOfOnlyImage, type SamplerErrors } from './sampler-errors.js'
import { measureOrder } from './sampler-order.js'

/** Evaluations of the network at which errors are shown. */
export const budgets = [5, 10, 20, 50] as const

/** What an order may be measured too low: the next term of the error is there too. */
export const orderSlack = 0.2
/** How far a run may end from the only image of its data: float64's digits, over levels of sigma / alpha up to 40,000. */
export const allowedMiss = 1e-9

export interface SamplerCheck {
  readonly sampler: string
  /** Order at which the error falls; null where it is chance. */
  readonly order: number | null
  /** What its paper says, and the options in use allow; null where nothing is claimed. */
  readonly expectedOrder: number | null
  /** The process on which the order was measured, by the name of its schedule. */
  readonly orderProcess: string | null
  /** How far a run ends from the only image of its data: 0. */
  readonly missOfOnlyImage: number | null
  /** Errors after so many evaluations; null where the sampler failed before. */
  readonly measured: SamplerErrors | null
  /** What is not as it should be, in words. */
  readonly faults: readonly string[]
  readonly passes: boolean
}

/**
 * What a sampler throws is a fault of it like any other.
 * @param expectation what is claimed; without it the order is measured, and not judged.
 */
export async function checkSampler(
  sampler: SamplerDefinition,
  expectation: SamplerExpectation | undefined,
): Promise<SamplerCheck> {
  const faults: string[] = []
  const measured = async <Result>(measure: () => Promise<Result>): Promise<Result | null> => {
    try {
      return await measure()
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error)
      if (!faults.includes(message)) faults.push(message)
      return null
    }
  }
  const expectedOrder = expectation?.order ?? null
  const found = await measured(() => measureOrder(sampler, expectation))
  if (found) faults.push(...orderFaults(found.order, expectedOrder))
  const miss = await measured(() => missOfOnlyImage(sampler, expectation))
  if (miss !== null) faults.push(...missFaults(miss))
  const errors = await measured(() => measureErrors(sampler, budgets, expectation))
  return {
    sampler: sampler.name,
    order: found?.order ?? null,
    expectedOrder,
    orderProcess: found?.process ?? null,
    missOfOnlyImage: miss,
    measured: errors,
    faults,
    passes: faults.length === 0,
  }
}

// Both are written so that NaN is a fault.

function orderFaults(order: number | null, expected: number | null): readonly string[] {
  if (expected === null || (order !== null && order >= expected - orderSlack)) return []
  return [`order ${order === null ? 'cannot be measured' : order.toFixed(2)}, expected ${expected}`]
}

function missFaults(miss: number): readonly string[] {
  return miss <= allowedMiss ? [] : [`ends ${miss.toPrecision(2)} from the only image of its data`]
}
