/**
 * How the weights of a network start, by name. `in` and `out` are the numbers of a layer's inputs and outputs, times the
 * positions of its kernel.
 *
 * - `ddpm`: uniform of variance 2 / (in + out) (Ho et al. 2020, arXiv 2006.11239: variance scaling by the mean of both)
 * - `torch`: uniform in ±1 / sqrt(in), biases too: the defaults of PyTorch's layers
 * - `he-normal`, `he-uniform`: variance 2 / ((1 + slope²) in) behind (leaky) ReLUs (He et al. 2015, arXiv 1502.01852, eq. 10
 *   and 15)
 * - `xavier-normal`, `xavier-uniform`: variance 2 / (in + out) (Glorot and Bengio 2010, eq. 12 and 16)
 * - `orthogonal`: a random matrix with orthonormal rows or columns, whichever are fewer (Saxe et al. 2014, arXiv 1312.6120);
 *   its rows are the outputs
 *
 * The q, k and v of an attention count as layers of their own. Biases start at 0, except PyTorch's. Every parameter is a function of the seed and its name.
 */
import * as z from 'zod'

export const initializations = [
  'ddpm',
  'torch',
  'he-normal',
  'he-uniform',
  'xavier-normal',
  'xavier-uniform',
  'orthogonal',
] as const

export const initializationSchema = z.enum(initializations)
