/** What a run will take, as a table. */
import { showBytes } from '../libtorch/progress.js'
import type { Plan } from '../training/plan.js'
import { formatDuration } from '../training/progress.js'
import type { RunSettings } from '../training/run-options.js'
import { printLine } from './print-line.js'
import { columns, count, examplesWord, shapeText } from './words.js'

export function printPlan(settings: RunSettings, plan: Plan, out: string): void {
  printLine(`Plan for ${settings.name}, measured over ${plan.measuredSteps} steps; nothing was written.`)
  for (const line of columns(planRows(settings, plan, out))) printLine(`  ${line}`)
  if (plan.freeBytes !== undefined && plan.freeBytes < plan.diskBytes) {
    printLine(
      `There is not enough room for the checkpoints: choose another folder with --out, or keep fewer with --set checkpoints.keep.last=1.`,
    )
  }
}

function planRows(settings: RunSettings, plan: Plan, out: string): string[][] {
  const { data, pictures } = plan
  const { batch, microBatch } = settings.training
  const classes = data.classes > 0 ? ` in ${count(data.classes)} classes` : ''
  const grids =
    pictures.grids === 0
      ? 'none'
      : `${count(pictures.grids)} grids of ${duration(pictures.secondsPerGrid)} each${pictures.animationSeconds > 0 ? `, an animation of ${duration(pictures.animationSeconds)}` : ''}; ${duration(pictures.totalSeconds)} in all`
  const free = plan.freeBytes === undefined ? '' : `; ${showBytes(plan.freeBytes)} free at ${out}`
  return [
    ['data', `${data.name}: ${count(data.length)} ${examplesWord(data.image)} of ${shapeText(data.image)}${classes}`],
    ['network', `${settings.network.kind}, ${count(plan.parameters)} parameters`],
    ['device', `${plan.device}, ${settings.precision}`],
    [
      'step',
      `${duration(plan.secondsPerStep)} for ${count(batch)} images${microBatch === null ? '' : ` in parts of ${count(microBatch)}`}; ${speed(plan.imagesPerSecond)} images/s`,
    ],
    ['training', `${count(plan.steps)} steps, ${rounded(plan.epochs)} epochs: ${duration(plan.trainingSeconds)}`],
    ['pictures', grids],
    ['in all', duration(plan.totalSeconds)],
    [
      'memory',
      `${showBytes(plan.memoryBytes)} of this process at most; weights, gradients, optimizer and averages take ${showBytes(plan.stateBytes)}`,
    ],
    [
      'disk',
      `${showBytes(plan.checkpointBytes)} per checkpoint, ${count(plan.checkpointsKept)} at a time: ${showBytes(plan.diskBytes)}${free}`,
    ],
  ]
}

/** Below ten seconds with a digit more, for the times of single steps. */
function duration(seconds: number): string {
  if (seconds < 0.0995) return `${(1000 * seconds).toFixed(0)} ms`
  return seconds < 9.95 ? `${seconds.toFixed(seconds < 1 ? 2 : 1)} s` : formatDuration(seconds)
}

function speed(imagesPerSecond: number): string {
  return imagesPerSecond < 10 ? imagesPerSecond.toPrecision(2) : count(imagesPerSecond)
}

function rounded(value: number): string {
  return value < 10 ? String(Number(value.toPrecision(2))) : count(value)
}
