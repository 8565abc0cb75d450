/** What a recording needs, where a test has nothing to say of it: an unconditional network that predicts the clean image. */
import { createGuidance, type GuidanceOptions, parseGuidance } from '../../lib/diffusion/guidance/list.js'
import { resolvePrediction } from '../../lib/diffusion/predictions/list.js'
import type { Schedule } from '../../lib/diffusion/schedule.js'
import { type StepSelection, selectLevels } from '../../lib/sampling/levels.js'
import type { RecordContext } from '../../lib/sampling/recorder.js'

export function contextOf(
  schedule: Schedule,
  selection: StepSelection = {},
  change: Partial<RecordContext> = {},
): RecordContext {
  return {
    schedule,
    levels: change.levels ?? selectLevels(schedule, selection),
    prediction: resolvePrediction('clean', schedule),
    label: ({ time }) => time,
    clip: { kind: 'none' },
    variance: 'fixed-small',
    learnsVariance: false,
    condition: 'null',
    guidance: createGuidance(parseGuidance(1)),
    guides: [],
    start: 'given',
    inpaint: false,
    ...change,
  }
}

/** The context of a conditional run with guidance, or of one without condition for null. */
export function guidedBy(guidance: number | GuidanceOptions | null): Pick<RecordContext, 'condition' | 'guidance'> {
  return {
    condition: guidance === null ? 'null' : 'given',
    guidance: createGuidance(parseGuidance(guidance ?? 1)),
  }
}
