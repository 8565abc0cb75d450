// A whole sampling run, from noise to images, against the loop of diffusers' pipelines; and what a step costs beside its network.
import { join } from 'node:path'
import { compared, inTurn } from './in-turn.mjs'
import { median } from './report.mjs'

/** The workload whose network is drawn from; the last row of its class table stands for no class. */
export const sampledWorkload = 'C'
const sampling = { count: 16, steps: 20, guidance: 3 }
/** Images must agree as far as this before a time is believed. */
const tolerance = 1e-4

/** @param sides ours, and the peer in each layout. */
export async function measureSampling(sides, config, folder, threads, rounds) {
  const [path, drawn] = [join(folder, 'model.safetensors'), join(folder, 'drawn.safetensors')]
  await sides.ours.ask('open', { config, sampling, threads, path })
  const { classes } = await sides.ours.ask('draw', { path: drawn })
  let difference = 0
  for (const layout of ['contiguous', 'channels-last']) {
    await sides[layout].ask('build', { config, batch: sampling.count, precision: 'float32', threads, layout })
    const answer = await sides[layout].ask('load_sampling', { path, drawn, sampling, classes })
    difference = Math.max(difference, answer.difference)
  }
  if (!(difference <= tolerance))
    throw new Error(`sampling: the images differ by ${difference}, more than ${tolerance}: no time is measured.`)
  return { ...compared(await inTurn(sides, rounds, 'sample', { times: 1 })), sampling, difference }
}

/** Microseconds of a recorded program's step beside its network, by sampler. */
export async function measureOverheads(side, rounds) {
  const overheads = []
  for (const sampler of ['ddim', 'dpm++2m']) {
    const { microseconds } = await side.ask('overhead', { sampler, times: 2 * rounds + 1 })
    overheads.push({ sampler, microseconds: median(microseconds), rounds: microseconds })
  }
  return overheads
}
