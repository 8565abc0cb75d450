// How long the quickstart trains: as many epochs as this machine gets through in the time of a first look. A number
// that is known before the run lets the learning rate decay to its end, which a limit in minutes would cut off.

/** Of the five minutes that training may take: the rest is room for a slower moment. A sixth minute is for the last pictures. */
const secondsOfTraining = 4 * 60 + 15
/** Fewer show blots, and more than these show no difference. */
const fewest = 8
const most = 48

/** Seconds that one pass over the data takes, with its share of the grids drawn on the way; the last grid comes after. */
export function epochSeconds({ trainingSeconds, epochs, pictures }) {
  return (trainingSeconds + Math.max(0, pictures.grids - 1) * pictures.secondsPerGrid) / epochs
}

/**
 * @param plan what `dpm-torch train … --plan --json` prints; its first step, which warms up, is not in its figures.
 * @returns how many epochs, and a sentence that says why.
 */
export function chooseEpochs(plan) {
  const seconds = epochSeconds(plan)
  const fitting = Math.floor(secondsOfTraining / seconds)
  const epochs = Math.min(most, Math.max(fewest, fitting))
  const speed = `An epoch takes ${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s on this machine`
  if (fitting < fewest) {
    return { epochs, reason: `${speed}: ${epochs} epochs, the fewest that show anything, or what fits into 5 minutes.` }
  }
  const whole = formatTime(epochs * seconds)
  if (fitting > most) return { epochs, reason: `${speed}: ${epochs} epochs, which are enough, in about ${whole}.` }
  return { epochs, reason: `${speed}: ${epochs} epochs, in about ${whole}, fit into 5 minutes.` }
}

/** Minutes and seconds: 4:38. */
function formatTime(seconds) {
  const whole = Math.round(seconds)
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, '0')}`
}
