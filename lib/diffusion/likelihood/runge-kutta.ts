/**
 * Explicit Runge–Kutta methods as tables: stage s is f at time + nodes_s · h and state + h · sum of weights_s,j · f_j, and
 * the step is state + h · sum of step_j · f_j.
 */

export interface RungeKutta {
  readonly nodes: readonly number[]
  /** The row of stage s has s entries. */
  readonly stages: readonly (readonly number[])[]
  readonly step: readonly number[]
  /** Of the step minus the embedded method of lower order; undefined where there is none. */
  readonly error: readonly number[] | undefined
  readonly order: number
}

/** Dormand and Prince 1980: order 5, with an embedded method of order 4; the last stage is the first of the next step. */
const dormandPrince: RungeKutta = {
  nodes: [0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1, 1],
  stages: [
    [],
    [1 / 5],
    [3 / 40, 9 / 40],
    [44 / 45, -56 / 15, 32 / 9],
    [19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729],
    [9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656],
    [35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84],
  ],
  step: [35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84, 0],
  error: [
    35 / 384 - 5179 / 57600,
    0,
    500 / 1113 - 7571 / 16695,
    125 / 192 - 393 / 640,
    -2187 / 6784 + 92097 / 339200,
    11 / 84 - 187 / 2100,
    -1 / 40,
  ],
  order: 5,
}

/** Kutta 1901, the classical method. */
const classical: RungeKutta = {
  nodes: [0, 1 / 2, 1 / 2, 1],
  stages: [[], [1 / 2], [0, 1 / 2], [0, 0, 1]],
  step: [1 / 6, 1 / 3, 1 / 3, 1 / 6],
  error: undefined,
  order: 4,
}

/** Heun 1900: Euler's step, then the mean of the slopes at its two ends. */
const heun: RungeKutta = {
  nodes: [0, 1],
  stages: [[], [1]],
  step: [1 / 2, 1 / 2],
  error: undefined,
  order: 2,
}

export const rungeKuttas = { rk45: dormandPrince, rk4: classical, heun } as const satisfies Record<string, RungeKutta>
