/** How long the quickstart trains: what fits into 4:15 of training, and never less or more than a first look needs. */
import { expect, test } from 'vitest'

interface Measured {
  readonly trainingSeconds: number
  readonly epochs: number
  readonly pictures: { readonly grids: number; readonly secondsPerGrid: number }
}

const { chooseEpochs, epochSeconds } = (await import(
  new URL('../../scripts/quickstart-epochs.mjs', import.meta.url).href
)) as {
  chooseEpochs(plan: Measured): { readonly epochs: number; readonly reason: string }
  epochSeconds(plan: Measured): number
}

const measured = (seconds: number): Measured => ({
  trainingSeconds: 32 * seconds,
  epochs: 32,
  pictures: { grids: 1, secondsPerGrid: 7 },
})

test('an epoch takes its updates and its share of the grids on the way; the last grid comes after', () => {
  expect(epochSeconds({ trainingSeconds: 512, epochs: 32, pictures: { grids: 4, secondsPerGrid: 8 } })).toBe(16.75)
  expect(epochSeconds({ trainingSeconds: 512, epochs: 32, pictures: { grids: 0, secondsPerGrid: 0 } })).toBe(16)
})

test.each([
  [255, 8],
  [31.9, 8],
  [31.87, 8],
  [28, 9],
  [16, 15],
  [5.4, 47],
  [5.3, 48],
  [0.1, 48],
])('where an epoch takes %d s: %d epochs', (seconds, epochs) => {
  expect(chooseEpochs(measured(seconds)).epochs).toBe(epochs)
})

test('between its bounds the choice fits, and one epoch more would not', () => {
  for (let seconds = 5.95; seconds < 31.5; seconds += 0.37) {
    const { epochs } = chooseEpochs(measured(seconds))
    expect(epochs * seconds).toBeLessThanOrEqual(255)
    expect((epochs + 1) * seconds).toBeGreaterThan(255)
  }
})

test('says what was chosen and why', () => {
  expect(chooseEpochs(measured(16)).reason).toBe(
    'An epoch takes 16 s on this machine: 15 epochs, in about 4:00, fit into 5 minutes.',
  )
  expect(chooseEpochs(measured(2)).reason).toBe(
    'An epoch takes 2.0 s on this machine: 48 epochs, which are enough, in about 1:36.',
  )
  expect(chooseEpochs(measured(100)).reason).toContain('8 epochs, the fewest that show anything, or what fits into')
})
