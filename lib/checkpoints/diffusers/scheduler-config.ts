/**
 * The configuration of a scheduler of diffusers as our diffusion process and a way to sample it; what diffusers would compute
 * otherwise is refused by its key and value, or, where it is small, noted.
 */
import * as z from 'zod'
import type { DiffusionOptions } from '../../diffusion/diffusion-options.js'
import { DpmError } from '../../errors.js'
import { parseOptions } from '../../options/options.js'
import type { samplingSchema } from '../../sampling/sampling-defaults.js'
import { schedulers } from './schedulers.js'

export interface SchedulerReading {
  readonly diffusion: DiffusionOptions
  readonly sampling: z.input<typeof samplingSchema>
  /** What is a little different here, a sentence each. */
  readonly notes: readonly string[]
}

const namedSchema = z.looseObject({ _class_name: z.string().optional() })

const cure =
  'To import the network without its scheduler, say the diffusion: --set noiseSchedule=… --set diffusionSteps=… --set prediction=….'

/**
 * @param named the class that the pipeline names, where the configuration does not
 * @throws DpmError DPM_INVALID_OPTION naming the key, its value, what is supported, and how to import without it
 */
export function readScheduler(config: unknown, named: string | undefined, place: string): SchedulerReading {
  const given = parseOptions(namedSchema, config, place)
  const name = given._class_name ?? named ?? ''
  const known: Readonly<Record<string, (typeof schedulers)[keyof typeof schedulers]>> = schedulers
  const scheduler = Object.hasOwn(known, name) ? known[name] : undefined
  if (!scheduler) {
    const reason = Object.hasOwn(otherSchedulers, name) ? ` (${otherSchedulers[name]})` : ''
    throw new DpmError(
      'DPM_INVALID_OPTION',
      `Expected one of ${Object.keys(known).join(', ')} for the scheduler's \`_class_name\` but received ${JSON.stringify(name)}${reason}. ${cure}\n(in ${place})`,
    )
  }
  try {
    const unread = Object.keys(given).filter((key) => !key.startsWith('_') && !scheduler.keys.includes(key))
    const reading = scheduler.read(given, place)
    if (unread.length === 0) return reading
    const note = `The scheduler's configuration has what ${name} does not read: ${unread.join(', ')}.`
    return { ...reading, notes: [note, ...reading.notes] }
  } catch (error) {
    if (!(error instanceof DpmError) || error.code !== 'DPM_INVALID_OPTION') throw error
    throw new DpmError('DPM_INVALID_OPTION', `${error.message}\n${cure}`, { details: error.details })
  }
}

/** Schedulers that are not imported, and why. */
const otherSchedulers: Readonly<Record<string, string>> = {
  ScoreSdeVeScheduler: 'its predictor and corrector are those of continuous time, with levels of its own',
  KarrasVeScheduler: 'its levels are those of no schedule here',
  EDMEulerScheduler: 'its network is told a scaled image, which no scheduler of a UNet2DModel here is',
  EDMDPMSolverMultistepScheduler: 'its network is told a scaled image, which no scheduler of a UNet2DModel here is',
  FlowMatchEulerDiscreteScheduler: 'flow matching is not imported',
  CMStochasticIterativeScheduler: 'consistency models are not imported',
}
