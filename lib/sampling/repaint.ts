/**
 * RePaint (Lugmayr et al. 2022, arXiv 2201.09865, algorithm 1 with the jumps of §4.2): inpainting with a network that knows nothing of
 * masks. Every step is ancestral where the mask is 1, and puts the known image, at that step's level of noise, where it is 0:
 *
 *     x_s = mask · (mean of q(x_s | x_t, clean) + sqrt(variance) noise) + (1 - mask) · (alpha_s known + sigma_s noise)
 *
 * So that both parts come to agree, the run goes back up again and again: at every jumpLength-th level, counted from the least
 * noisy one, x is taken jumpLength levels back up by the forward process, x_t = a x_s + sqrt(sigma_t² - a² sigma_s²) noise with
 * a = alpha_t / alpha_s, and down again, until it has come down `jumps` times. The paper takes single steps on the way up,
 * of which this is the sum. A run of n steps costs about n · jumps evaluations. `jumps` 1 is plain replacement.
 *
 * The run has to be one that paints (`inpaint`): `known` is an image of x's shape, `mask` 1 where x is to be drawn.
 */
import * as z from 'zod'
import { stepPosterior, varianceKinds } from '../diffusion/posterior.js'
import { DpmError } from '../errors.js'
import { defineSampler } from './define-sampler.js'

const repaintSchema = z.strictObject({
  kind: z.literal('repaint'),
  jumpLength: z.int().min(1).default(10).describe('levels of a jump back'),
  jumps: z.int().min(1).max(10_000).default(10).describe('times that each stretch is gone down'),
  variance: z
    .enum([...varianceKinds, 'inherit'])
    .default('inherit')
    .describe('of the ancestral steps; inherit: what `diffusion.variance` says'),
})

export const repaint = defineSampler('repaint', repaintSchema, (x, verbs) => {
  const { levels, denoiseAncestral, combine, noise, blend, input, emit, inpaint, options } = verbs
  if (!inpaint) {
    throw new DpmError(
      'DPM_INVALID_OPTION',
      'Sampler "repaint" fills in what is missing in an image: give the image and its mask as `inpaint`, or use the sampler "ddpm".',
    )
  }
  const variance = options.variance === 'inherit' ? verbs.variance : options.variance
  const [known, mask] = [input('known'), input('mask')]
  const walk = repaintWalk(levels.length - 1, options)
  // How often a level is still to be come to: 0 is the last time, which is when its step is over.
  const visitsLeft = new Map<number, number>()
  for (const { to, back } of walk) if (!back) visitsLeft.set(to, (visitsLeft.get(to) ?? 0) + 1)
  let [steps, returns] = [0, 0]
  for (const { from, to, back } of walk) {
    const [here, there] = [levels[from], levels[to]]
    if (!here || !there) throw new DpmError('DPM_INTERNAL', `The walk of repaint has no level ${from} or ${to}.`)
    if (back) {
      const deviation = Math.sqrt(stepPosterior(there, here).forwardVariance)
      x = combine([
        [there.alpha / here.alpha, x],
        [deviation, noise(returns++, 'churn')],
      ])
      continue
    }
    const ancestral = denoiseAncestral(x, here, there, { step: steps++, variance })
    const q = stepPosterior(here, there)
    const drawn = combine([[q.meanNoisy, x], [q.meanClean, ancestral.clean], ...ancestral.noise])
    const left = (visitsLeft.get(to) ?? 1) - 1
    visitsLeft.set(to, left)
    // The last visit has the key of the recorder's own replacement, so that it finds there what it would put there.
    const draw = to + left * levels.length
    const noisy = there.sigma > 0 ? [[there.sigma, noise(draw, 'forward')] as const] : []
    x = blend(mask, drawn, combine([[there.alpha, known], ...noisy]))
    if (left === 0) x = emit(x, ancestral.clean)
  }
  return x
})

interface Move {
  /** Places in the list of levels. */
  readonly from: number
  readonly to: number
  /** Whether this is a jump back up, to more noise. */
  readonly back: boolean
}

/** The way through levels 0 … `last`, which is the clean one. */
export function repaintWalk(
  last: number,
  { jumpLength, jumps }: { readonly jumpLength: number; readonly jumps: number },
): readonly Move[] {
  const jumpsLeft = new Map<number, number>()
  for (let place = last - 1; place - jumpLength >= 0; place -= jumpLength) jumpsLeft.set(place, jumps - 1)
  const walk: Move[] = []
  for (let place = 0; place < last; ) {
    walk.push({ from: place, to: place + 1, back: false })
    place += 1
    const left = jumpsLeft.get(place) ?? 0
    if (left === 0) continue
    jumpsLeft.set(place, left - 1)
    walk.push({ from: place, to: place - jumpLength, back: true })
    place -= jumpLength
  }
  return walk
}
