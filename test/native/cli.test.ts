/** What each command prints, writes and returns. */
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import sharp from 'sharp'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { SafetensorsFile } from '../../lib/checkpoints/safetensors.js'
import { checkpointPath, command, main, makeFolder, readMetrics, tensorsOf, writeTinyRecipe } from './command.js'

const folder = makeFolder()
const at = (...names: string[]): string => join(folder.path, ...names)
const run = (...args: string[]) => command(args, folder.path)

beforeAll(async () => {
  writeTinyRecipe(folder.path)
  expect(await run('train', 'tiny.json')).toMatchObject({ code: 0, signal: null })
})

afterAll(() => folder.remove())

/** Shared objects that a process has opened by its end. */
function loadedLibraries(args: readonly string[]): string[] {
  const probe = `process.on('exit', () => require('node:fs').writeFileSync(process.env.DPM_TEST_OBJECTS, JSON.stringify(process.report.getReport().sharedObjects)))`
  writeFileSync(at('probe.cjs'), probe)
  const end = spawnSync(process.execPath, ['--require', at('probe.cjs'), ...args], {
    cwd: fileURLToPath(new URL('../..', import.meta.url)),
    env: { ...process.env, DPM_TEST_OBJECTS: at('objects.json') },
  })
  expect(end.status, String(end.stderr)).toBe(0)
  return JSON.parse(readFileSync(at('objects.json'), 'utf8')) as string[]
}

describe('without work to do', () => {
  test.each([
    ['--help', [main, '--help']],
    ['train --help', [main, 'train', '--help']],
    ['recipes', [main, 'recipes']],
    ["import 'dpm-torch'", ['--input-type=module', '--eval', "await import('dpm-torch')"]],
  ])('%s opens neither libtorch, nor the addon, nor an image codec', (_, args) => {
    const opened = loadedLibraries(args).filter((path) => /torch|dpm|sharp|vips|c10|\.node$/.test(path))
    expect(opened).toEqual([])
  })

  test('--version is that of the package', async () => {
    const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
      version: string
    }
    expect(await run('--version')).toMatchObject({ code: 0, stdout: `${version}\n`, stderr: '' })
  })
})

describe('wrong usage: exit code 2, one message with the nearest name, no stack', () => {
  test.each([
    [['trian'], /Did you mean train\?/],
    [['train', 'tiny.json', '--rseume'], /Did you mean --resume\?/],
    [['train'], /Expected a recipe/],
    [['train', 'sprits'], /Did you mean "sprites"\?/],
    [['train', 'tiny.json', '--set', 'training.bacth=3'], /Did you mean `training.batch`/],
    [['train', 'tiny.json', '--set', 'data.kind=emojy'], /Did you mean "emoji"/],
    [['train', 'tiny.json', '--set', 'training'], /such as training.batch=32/],
    [
      ['train', 'tiny.json', '--set', 'training.averaging.7.decay=1'],
      /an index from 0 to 2 after `training.averaging`/,
    ],
    [['train', 'tiny.json', '--seed', '-1'], /whole number/],
    [['train', 'tiny.json', '--device', 'gpu'], /auto, cpu, cuda or cuda:N/],
    [['bench', 'sprits'], /Did you mean "sprites"\?/],
    [['bench', 'tiny.json', '--batch', '0'], /whole number of at least 1/],
    [['bench', 'tiny.json', '--precision', 'float8'], /bfloat16/],
    [['bench', 'tiny.json', '--shapes'], /--profile/],
    [['bench', 'tiny.json', '--set', 'network.kind=unett'], /Did you mean "unet"/],
    [['sample', 'runs/tiny', '--sampler', 'dim'], /Did you mean "ddim"/],
    [['sample', 'runs/tiny', '--steps', '900'], /from 1 to 50 for `steps`/],
    [['sample', 'runs/tiny', '--classes', 'eleven'], /indices from 0 to 9 or names/],
    [['sample', 'runs/tiny', '--files', '--out', 'x.png'], /--files needs a folder/],
    [['data', 'emojis'], /Did you mean "emoji"/],
  ])('%j', async (args, message) => {
    const end = await run(...args)
    expect(end).toMatchObject({ code: 2, stdout: '' })
    expect(end.stderr).toMatch(message)
    expect(end.stderr).not.toMatch(/^\s+at /m)
    expect(existsSync(at('runs', 'tiny', 'x.png'))).toBe(false)
  })

  test('--verbose adds the stack, --json the error as JSON', async () => {
    const verbose = await run('train', 'nowhere.json', '--verbose')
    expect(verbose.stderr).toMatch(/^error: There is no recipe file nowhere.json. \[DPM_FILE_MISSING\]\n.*\n\s+at /s)
    const json = await run('train', 'nowhere.json', '--json')
    expect(json.code).toBe(1)
    expect(JSON.parse(json.stdout)).toMatchObject({ error: { code: 'DPM_FILE_MISSING' } })
  })
})

describe('train', () => {
  test('leaves a run folder: complete settings, a metrics line per step, pictures, checkpoints, no lock', async () => {
    expect(readdirSync(at('runs', 'tiny')).sort()).toEqual([
      'checkpoints',
      'config.json',
      'metrics.jsonl',
      'samples',
      'tensorboard',
    ])
    expect(JSON.parse(readFileSync(at('runs', 'tiny', 'config.json'), 'utf8'))).toMatchObject({
      name: 'tiny',
      budget: { steps: 40 },
      seed: 0,
    })
    const metrics = readMetrics(at('runs', 'tiny'))
    expect(metrics.map(({ step }) => step)).toEqual(Array.from({ length: 40 }, (_, i) => i + 1))
    // With a warm-up the first update has learning rate 0; the epoch counts images: 8 of 40 a step.
    expect(metrics[0]).toMatchObject({ learningRate: 0, epoch: 0.2 })
    expect(metrics.at(-1)).toMatchObject({ epoch: 8 })
    expect(readdirSync(at('runs', 'tiny', 'checkpoints')).sort()).toEqual([
      'latest.json',
      'step-00000035.safetensors',
      'step-00000040.safetensors',
    ])
    expect(readdirSync(at('runs', 'tiny', 'samples')).sort()).toEqual([
      'denoising.gif',
      'step-00000016.png',
      'step-00000032.png',
      'step-00000040.png',
    ])
  })

  test('its pictures are whole: 2×2 images of 8×8, eight times as large, 2 pixels apart; the animation moves', async () => {
    const picture = await sharp(at('runs', 'tiny', 'samples', 'step-00000040.png'))
      .stats()
      .then(() => sharp(at('runs', 'tiny', 'samples', 'step-00000040.png')).metadata())
    expect(picture).toMatchObject({ format: 'png', width: 134, height: 134, channels: 1 })
    const animation = await sharp(at('runs', 'tiny', 'samples', 'denoising.gif'), { pages: -1 }).metadata()
    expect(animation).toMatchObject({ format: 'gif', width: 134, pageHeight: 134 })
    expect(animation.pages).toBe(40)
  })

  test('--seed and --set change the run, and nothing else does', async () => {
    const short = ['train', 'tiny.json', '--set', 'budget.steps=3', '--set', 'previews.everySteps=0']
    for (const [name, ...more] of [['one'], ['same'], ['other', '--seed', '1']]) {
      expect(await run(...short, '--out', name ?? '', ...more)).toMatchObject({ code: 0 })
    }
    const [one, same, other] = await Promise.all(
      ['one', 'same', 'other'].map((name) => tensorsOf(checkpointPath(at(name), 3))),
    )
    expect(one).toEqual(same)
    expect(one?.get('network.input.weight')?.equals(other?.get('network.input.weight') ?? Buffer.alloc(0))).toBe(false)
  })

  test('--json prints one object', async () => {
    const end = await run(
      'train',
      'tiny.json',
      '--out',
      'json',
      '--set',
      'budget.steps=2',
      '--set',
      'previews.everySteps=0',
      '--json',
    )
    expect(JSON.parse(end.stdout)).toMatchObject({
      out: 'json',
      step: 2,
      steps: 2,
      checkpoint: checkpointPath(at('json'), 2),
      pictures: [],
    })
  })

  test('--plan counts what is known, measures the rest, and writes nothing', async () => {
    const end = await run('train', 'tiny.json', '--out', 'planned', '--plan', '--json')
    expect(end.code, end.stderr).toBe(0)
    const parameters = [...(await tensorsOf(checkpointPath(at('runs', 'tiny'), 40)))]
      .filter(([name]) => name.startsWith('network.'))
      .reduce((sum, [, bytes]) => sum + bytes.length / 4, 0)
    const plan = JSON.parse(end.stdout) as Record<string, number>
    // Weights, two moments, two averages; the two newest checkpoints and the one being written; grids at 16, 32 and 40.
    expect(plan).toMatchObject({
      parameters,
      steps: 40,
      epochs: 8,
      measuredSteps: 3,
      checkpointsKept: 3,
      pictures: { grids: 3 },
    })
    expect(plan['checkpointBytes']).toBe(parameters * 4 * 5)
    expect(plan['diskBytes']).toBe(parameters * 4 * 15)
    expect(plan['trainingSeconds']).toBeCloseTo(40 * (plan['secondsPerStep'] ?? 0), 9)
    expect(existsSync(at('planned'))).toBe(false)
    const table = await run('train', 'tiny.json', '--plan')
    expect(table.stdout).toMatch(/Plan for tiny, measured over 3 steps; nothing was written\./)
  })

  test('--device cuda without CUDA is refused, and no folder is made', async () => {
    const end = await run('train', 'tiny.json', '--out', 'cuda', '--device', 'cuda')
    expect(end).toMatchObject({ code: 1, stdout: '' })
    expect(end.stderr).toMatch(/no CUDA device.*--device cpu.*DPM_DEVICE_UNAVAILABLE/)
    expect(existsSync(at('cuda'))).toBe(false)
  })

  test('a loss that explodes ends the run, names the step, and keeps the batch', async () => {
    const end = await run('train', 'tiny.json', '--out', 'exploded', '--set', 'training.learningRate={"peak":1e30}')
    expect(end).toMatchObject({ code: 1, stdout: '' })
    const path = /The batch is in (\S+\.safetensors)\./.exec(end.stderr)?.[1] ?? ''
    expect(end.stderr).toMatch(/DPM_NON_FINITE/)
    const [, what, step] = /The (loss|gradient) of step (\d+) is not finite/.exec(end.stderr) ?? []
    expect(readMetrics(at('exploded')).at(-1)?.step ?? 0).toBe(Number(step) - 1)
    const file = await SafetensorsFile.open(path)
    expect(file.tensors.get('images')).toMatchObject({ dtype: 'U8', shape: [8, 1, 8, 8] })
    const losses = await file.readTensor('losses')
    await file.close()
    const allFinite = [...new Float64Array(losses.buffer, losses.byteOffset, 8)].every(Number.isFinite)
    expect(allFinite).toBe(what === 'gradient')
  })
})

describe('sample', () => {
  test('draws a grid with a column per class into the run, a new file each time, and the same bytes for the same seed', async () => {
    const [first, second] = [await run('sample', 'runs/tiny'), await run('sample', 'runs/tiny')]
    expect([first.stdout, second.stdout]).toEqual([
      'runs/tiny/samples/sample-0001.png\n',
      'runs/tiny/samples/sample-0002.png\n',
    ])
    const bytes = readFileSync(at('runs', 'tiny', 'samples', 'sample-0001.png'))
    expect(bytes.equals(readFileSync(at('runs', 'tiny', 'samples', 'sample-0002.png')))).toBe(true)
    expect(await sharp(bytes).metadata()).toMatchObject({ width: 10 * 66 + 2, height: 2 * 66 + 2 })
  })

  test('files, a grid and an animation of the same images', async () => {
    const args = [
      '--classes',
      '3,1',
      '--count',
      '3',
      '--sampler',
      'ddpm',
      '--steps',
      '6',
      '--guidance',
      '2',
      '--chunk',
      '3',
    ]
    const end = await run(
      'sample',
      'runs/tiny',
      ...args,
      '--out',
      'drawn',
      '--files',
      '--grid',
      '--gif',
      'drawn.gif',
      '--json',
    )
    const printed = JSON.parse(end.stdout) as { files: string[] }
    expect(printed).toMatchObject({
      grid: 'drawn/grid.png',
      gif: 'drawn.gif',
      count: 3,
      steps: 6,
      classes: ['3', '1'],
      sampler: { kind: 'ddpm' },
    })
    expect(printed.files).toEqual(['drawn/000000.png', 'drawn/000001.png', 'drawn/000002.png'])
    expect((await sharp(at('drawn.gif'), { pages: -1 }).metadata()).pages).toBe(6)
    // With a chunk, an image is the same to the byte in any company, and with or without an animation.
    expect(await run('sample', 'runs/tiny', ...args, '--count', '1', '--out', 'alone')).toMatchObject({ code: 0 })
    expect(readFileSync(at('alone', '000000.png')).equals(readFileSync(at('drawn', '000000.png')))).toBe(true)
  })

  test('the weights that were trained differ from their average', async () => {
    const draw = (name: string, ...more: string[]) => run('sample', 'runs/tiny', '--count', '4', '--out', name, ...more)
    expect([(await draw('average.png')).code, (await draw('trained.png', '--weights', 'trained')).code]).toEqual([0, 0])
    expect(readFileSync(at('average.png')).equals(readFileSync(at('trained.png')))).toBe(false)
    expect((await draw('none.png', '--weights', '2')).stderr).toMatch(/holds 2 averaged copies/)
  })
})

describe('inspect and recipes', () => {
  test('inspect shows settings, progress, groups and every tensor', async () => {
    const text = await run('inspect', 'runs/tiny')
    expect(text.stdout).toMatch(/progress +40 steps/)
    expect(text.stdout).toMatch(/network\.input\.weight +F32 +8×1×3×3 +72\n/)
    const json = JSON.parse((await run('inspect', 'runs/tiny', '--json')).stdout) as {
      tensors: unknown[]
      groups: { name: string; elements: number }[]
    }
    expect(json).toMatchObject({
      progress: { step: 40, images: 320 },
      image: { channels: 1, height: 8, width: 8 },
      settings: { name: 'tiny' },
    })
    expect(json.groups.map(({ name }) => name).sort()).toEqual([
      'average.0',
      'average.1',
      'network',
      'optimizer.first',
      'optimizer.second',
    ])
    expect(new Set(json.groups.map(({ elements }) => elements)).size).toBe(1)
    const foreign = readdirSync(at('exploded')).find((name) => name.startsWith('non-finite')) ?? ''
    expect((await run('inspect', join('exploded', foreign))).stdout).toMatch(
      /not a checkpoint.*images +U8 +8×1×8×8 +512/s,
    )
  })

  test('recipes NAME gives settings that train as the recipe itself; --options lists every path', async () => {
    const settings = JSON.parse((await run('recipes', 'tiny.json')).stdout) as unknown
    writeFileSync(at('complete.json'), JSON.stringify(settings))
    expect(JSON.parse((await run('recipes', 'complete.json')).stdout)).toEqual(settings)
    const rows = JSON.parse((await run('recipes', '--options', '--json')).stdout) as {
      path: string
      description: string
    }[]
    expect(rows.map(({ path }) => path)).toEqual(
      expect.arrayContaining(['training.batch', 'budget.steps', 'network.channels']),
    )
    expect(rows.find(({ path }) => path === 'data.channels')).toMatchObject({
      type: '1 | 3',
      default: 3,
      when: 'data.kind=image-folder',
    })
    const named = await run('recipes', 'tiny.json', '--options')
    expect(named.stdout).toMatch(/with data\.kind=idx\ndata\.folder {2}\(string\) = "\."\n/)
    expect(named.stdout).not.toContain('data.channels')
    expect((await run('recipes')).stdout).toMatch(/^ddpm-cifar10 .*\n(.*\n)*sprites /m)
  })
})

describe('examples', () => {
  const example = (name: string, ...args: string[]) =>
    command(args, folder.path, fileURLToPath(new URL(`../../examples/${name}.mjs`, import.meta.url)))

  test('train-sprites trains and ends with a checkpoint', async () => {
    const end = await example('train-sprites', 'example', '2')
    expect(end, end.stderr).toMatchObject({ code: 0, stderr: '' })
    expect(end.stdout).toContain(`wrote ${checkpointPath(at('example'), 2)}`)
  })

  test('sample-step-by-step draws a picture; the clean images settle', async () => {
    const end = await example('sample-step-by-step', 'runs/tiny', 'steps.png')
    expect(end, end.stderr).toMatchObject({ code: 0, stderr: '' })
    expect(end.stdout.match(/changed by/g)).toHaveLength(25)
    expect(await sharp(at('steps.png')).metadata()).toMatchObject({ width: 10 * 66 + 2, height: 2 * 66 + 2 })
  })

  test('javascript-denoiser finds each of the eight Gaussians equally often', async () => {
    const { stdout } = await example('javascript-denoiser')
    const counts = stdout.split(': ')[1]?.trim().split(' ').map(Number) ?? []
    expect(counts).toHaveLength(8)
    // 2000 draws of eight equal chances: 250 each, deviation 14.8.
    for (const count of counts) expect(Math.abs(count - 250)).toBeLessThan(4 * 14.8)
  })
})
