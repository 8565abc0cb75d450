/** `dpm-torch explain`: what a sampler will do, instruction by instruction. */
import { readFile } from 'node:fs/promises'
import { Command } from 'commander'
import { DpmError } from '../errors.js'
import { readFailure } from '../files/file-failure.js'
import { type Assignment, assign } from '../options/assign.js'
import type { Program } from '../sampling/program.js'
import { type CommonFlags, finiteNumber, jsonFlag, setFlag, wholeNumber } from './flags.js'
import { printLine } from './print-line.js'

interface ExplainFlags extends CommonFlags {
  readonly file?: string
  readonly steps: number
  readonly spacing?: string
  readonly finalLevel?: string
  readonly guidance?: number
  readonly inpaint?: boolean
  readonly set?: readonly Assignment[]
}

const help = `
Examples:
  dpm-torch explain ddim --steps 4
  dpm-torch explain dpm++2m --steps 6 --spacing karras --guidance 3
  dpm-torch explain ddpm --steps 3 --set diffusion.schedule=cosine --set variance=fixed-small
  dpm-torch explain heun --set diffusion.schedule=edm --set diffusion.prediction=edm --set diffusion.timeLabel=quarter-log-ratio
  dpm-torch explain ddim --steps 4 --json > program.json && dpm-torch explain --file program.json

Registers r0, r1 … hold a batch each. \`dpm-torch list samplers\` names what can be explained.`

export function explainCommand(): Command {
  return new Command('explain')
    .description('print the program that a sampler records: what runs, number by number')
    .argument('[sampler]', 'name of a sampler')
    .option('--file <program>', 'a program as --json printed it, instead of a sampler')
    .option('--steps <number>', 'steps of the sampler', wholeNumber(1), 5)
    .option('--spacing <name>', 'how the levels of the steps are spread')
    .option('--final-level <name>', 'where the run ends: clean, least-noise or least-noise-over-alpha')
    .option('--guidance <scale>', 'classifier-free guidance', finiteNumber)
    .option('--inpaint', 'with what is known of an image put back after every step')
    .addOption(
      setFlag('an option of the sampler (eta=1) or of the process (diffusion.schedule=cosine); may be given again'),
    )
    .addOption(jsonFlag())
    .addHelpText('after', help)
    .action(run)
}

async function run(sampler: string | undefined, flags: ExplainFlags): Promise<void> {
  if ((sampler === undefined) === (flags.file === undefined)) {
    throw new DpmError('DPM_INVALID_OPTION', 'Name a sampler, or a program with --file: one of the two.')
  }
  const program = sampler === undefined ? await readProgram(flags.file ?? '') : await recorded(sampler, flags)
  const { explainProgram } = await import('../sampling/explain-program.js')
  const { programToJson } = await import('../sampling/program-json.js')
  printLine(flags.json ? programToJson(program) : explainProgram(program))
}

async function readProgram(path: string): Promise<Program> {
  const { programFromJson } = await import('../sampling/program-json.js')
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw readFailure(path, error)
  })
  return programFromJson(text)
}

async function recorded(sampler: string, flags: ExplainFlags): Promise<Program> {
  const { parseSampler, recordSampler } = await import('../sampling/samplers.js')
  const { parseDiffusion, createProcess } = await import('../diffusion/diffusion-options.js')
  const { createGuidance, parseGuidance } = await import('../diffusion/guidance/list.js')
  const { isLearned } = await import('../diffusion/posterior.js')
  const { finalLevelSchema, finalScale, selectLevels } = await import('../sampling/levels.js')
  const { parseOptions } = await import('../options/options.js')
  const { parseSpacing } = await import('../sampling/spacings/list.js')
  const ofProcess = (assignment: Assignment): boolean => assignment.path[0] === 'diffusion'
  const changes = flags.set ?? []
  const { diffusion } = assign({ diffusion: {} }, changes.filter(ofProcess))
  const process = createProcess(parseDiffusion(diffusion, '--set'))
  const settings = parseSampler(
    assign(
      { kind: sampler },
      changes.filter((one) => !ofProcess(one)),
    ) as never,
    'the sampler and --set',
  )
  const finalLevel = parseOptions(finalLevelSchema, flags.finalLevel ?? 'clean', '--final-level')
  return recordSampler(settings, {
    finalScale: finalScale(process.schedule, finalLevel),
    schedule: process.schedule,
    levels: selectLevels(process.schedule, {
      steps: flags.steps,
      finalLevel,
      spacing: flags.spacing === undefined ? undefined : parseSpacing(flags.spacing as never, '--spacing'),
    }),
    prediction: process.prediction,
    label: process.label,
    clip: process.settings.clip,
    variance: process.settings.variance,
    learnsVariance: isLearned(process.settings.variance),
    condition: flags.guidance === undefined ? 'null' : 'given',
    guidance: createGuidance(parseGuidance(flags.guidance ?? 1)),
    guides: [],
    // What a sampler cannot do without is there.
    start: sampler === 'ddim-inversion' ? 'given' : 'noise',
    inpaint: flags.inpaint === true || sampler === 'repaint',
  })
}
