/** How long a run trains: updates, passes over the data, images or minutes; whichever is reached first ends it. */
import * as z from 'zod'

export const budgetSchema = z
  .strictObject({
    steps: z.int().min(1).optional().describe('Updates of the network'),
    epochs: z.number().positive().optional().describe('Passes over the data set'),
    images: z.number().positive().optional().describe('Images seen, repeats counted'),
    minutes: z.number().positive().optional().describe('Minutes of training, those before a resume included'),
  })
  .refine((budget) => Object.values(budget).some((limit) => limit !== undefined), {
    error: 'Expected at least one of steps, epochs, images, minutes',
  })
export type BudgetSettings = z.output<typeof budgetSchema>

/** What a budget in epochs or images needs to know to count steps. */
export interface BudgetContext {
  /** Images per update. */
  readonly batch: number
  /** Examples in the data set. */
  readonly dataSetLength: number
}

export interface Budget {
  /** Updates until the end; undefined when only minutes were given. */
  readonly totalSteps: number | undefined
  /** Whether training ends, after `step` finished updates. */
  done(step: number, elapsedSeconds: number): boolean
  /** How much of the budget is used, 0 … 1: of several limits, the one that is nearest. */
  fraction(step: number, elapsedSeconds: number): number
  /** Seconds until the first limit is reached at this speed; undefined while that cannot be told. */
  secondsLeft(step: number, elapsedSeconds: number, stepsPerSecond: number | undefined): number | undefined
}

/**
 * A batch may hold the end of one epoch and the beginning of the next, so a budget ends with the update that reaches
 * its number of images: ceil(images / batch).
 */
export function createBudget(settings: BudgetSettings, { batch, dataSetLength }: BudgetContext): Budget {
  const { steps, epochs, images, minutes } = settings
  const limits = [
    steps,
    epochs === undefined ? undefined : Math.ceil((epochs * dataSetLength) / batch),
    images === undefined ? undefined : Math.ceil(images / batch),
  ].filter((limit) => limit !== undefined)
  const totalSteps = limits.length > 0 ? Math.min(...limits) : undefined
  const totalSeconds = minutes === undefined ? undefined : minutes * 60

  const fraction = (step: number, elapsedSeconds: number): number =>
    Math.min(1, Math.max(step / (totalSteps ?? Infinity), elapsedSeconds / (totalSeconds ?? Infinity)))

  return {
    totalSteps,
    fraction,
    done: (step, elapsedSeconds) => fraction(step, elapsedSeconds) >= 1,
    secondsLeft: (step, elapsedSeconds, stepsPerSecond) => {
      const byTime = totalSeconds === undefined ? Infinity : totalSeconds - elapsedSeconds
      const bySteps = totalSteps === undefined || !stepsPerSecond ? Infinity : (totalSteps - step) / stepsPerSecond
      const left = Math.min(byTime, bySteps)
      return Number.isFinite(left) ? Math.max(0, left) : undefined
    },
  }
}
