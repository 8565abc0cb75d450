// Both sides do the same work in turn, and what counts is the median of the rounds' ratios.
import { median } from './report.mjs'

/** Seconds of every side, in turn; the first round warms up and is dropped. */
export async function inTurn(sides, rounds, command, request) {
  const seconds = Object.fromEntries(Object.keys(sides).map((name) => [name, []]))
  for (let round = 0; round <= rounds; round++) {
    for (const [name, side] of Object.entries(sides)) {
      const answer = await side.ask(command, request)
      if (round > 0) seconds[name].push(median(answer.seconds))
    }
  }
  return seconds
}

/** Ours against the peer's better layout, as the median of the rounds' ratios. */
export function compared({ ours: mine, ...theirs }) {
  const [layout, best] = Object.entries(theirs).sort((a, b) => median(a[1]) - median(b[1]))[0]
  return {
    ours: median(mine),
    peer: median(best),
    layout,
    ratio: median(best.map((seconds, round) => seconds / mine[round])),
    rounds: { ours: mine, peer: best },
  }
}
