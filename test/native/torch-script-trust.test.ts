/** A TorchScript module is a program: nothing that is read runs one on its own word, and a run folder has its own copy. */
import { createHash } from 'node:crypto'
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { Checkpoint, type CheckpointContent, writeCheckpointTo } from '../../lib/checkpoints/checkpoint.js'
import { benchmark, Diffusion, memory, Network, NoisyClassifier, reconstructAverage, Trainer } from '../../lib/index.js'
import type { RunOptions } from '../../lib/training/run-options.js'
import { craft } from '../unit/crafted-zip.js'
import { checkpointPath, command, makeFolder, tinyOptions, writeIdx } from './command.js'

const folder = makeFolder()
const inFolder = (name: string): string => join(folder.path, name)
beforeAll(() => writeIdx(folder.path))
afterAll(() => folder.remove())
afterEach(() => {
  expect(memory()).toMatchObject({ tensors: 0, networks: 0, others: 0, bytes: 0, jobs: 0 })
})

/** A module that multiplies by a parameter, and writes A's over a file whenever it is run. */
function writeTrap(path: string, victim: string): void {
  const code = `class Trap(Module):
  __parameters__ = []
  __buffers__ = []
  training : bool
  _is_full_backward_hook : Optional[bool]
  def forward(self: __torch__.Trap,
    x: Tensor,
    t: Tensor) -> Tensor:
    _0 = torch.from_file(${JSON.stringify(victim)}, True, 4, dtype=0)
    _1 = torch.sum(torch.fill_(_0, 65))
    return torch.add(x, torch.mul(_1, 0))
`
  const pickle = Buffer.from(
    '\x80\x02c__torch__\nTrap\nq\0)\x81}(X\x08\0\0\0trainingq\x01\x88X\x16\0\0\0_is_full_backward_hookq\x02Nubq\x03.',
    'latin1',
  )
  const entries: Readonly<Record<string, Buffer>> = {
    'data.pkl': pickle,
    'code/__torch__.py': Buffer.from(code),
    'constants.pkl': Buffer.from('\x80\x02).', 'latin1'),
    version: Buffer.from('3\n'),
    byteorder: Buffer.from('little'),
  }
  writeFileSync(path, craft(Object.entries(entries).map(([name, data]) => ({ name: `trap/${name}`, data }))))
}

const victim = inFolder('victim')
const trap = inFolder('trap.pt')
beforeAll(() => {
  writeFileSync(victim, '0000')
  writeTrap(trap, victim)
})
const isHarmed = (): boolean => {
  const text = readFileSync(victim, 'utf8')
  writeFileSync(victim, '0000')
  return text !== '0000'
}

const content = (network: Readonly<Record<string, unknown>>): CheckpointContent => ({
  settings: { network } as never,
  progress: { step: 1 },
  classes: [],
  image: { channels: 1, height: 8, width: 8 },
  tensors: [],
})

describe('a file that names a module', () => {
  const stranger = inFolder('stranger.safetensors')
  const recipe = inFolder('stranger.json')
  const options = (): RunOptions => ({
    ...tinyOptions(folder.path),
    network: { kind: 'torch-script', file: trap },
    previews: { everySteps: 0 },
    device: 'cpu',
    budget: { steps: 1 },
  })
  const run = inFolder('stranger-run')
  beforeAll(async () => {
    await writeCheckpointTo(stranger, content({ kind: 'torch-script', file: trap }))
    writeFileSync(recipe, JSON.stringify(options()))
    writeFileSync(inFolder('extends.json'), JSON.stringify({ extends: './stranger.json', seed: 3 }))
    mkdirSync(join(run, 'checkpoints'), { recursive: true })
    writeFileSync(join(run, 'config.json'), JSON.stringify(options()))
    copyFileSync(stranger, checkpointPath(run, 1))
  })

  test('the trap is one: on the own word of the caller it writes', async () => {
    using _ = await Network.fromTorchScript(trap, { image: { channels: 1, height: 8, width: 8 }, device: 'cpu' })
    expect(isHarmed()).toBe(true)
  })

  const refused = {
    code: 'DPM_NOT_TRUSTED',
    message: expect.stringMatching(/trap\.pt".*program.*`trust: true` \(--trust-torch-script\)/),
  }
  test.each([
    ['a checkpoint', () => Diffusion.load(stranger)],
    ['a run folder', () => Diffusion.load(run)],
    ['a run to go on with', () => Trainer.create({ resume: true, out: run })],
    ['a run to go on with, and another option', () => Trainer.create({ resume: true, out: run, budget: { steps: 9 } })],
    ['a recipe file', () => Trainer.create({ recipe })],
    ['a recipe file that extends one', () => Trainer.create({ recipe: inFolder('extends.json') })],
    [
      'a recipe file with another option of the network',
      () => Trainer.create({ recipe, network: { timeType: 'int64' } as never }),
    ],
    ['a recipe file that is measured', () => benchmark({ recipe, steps: 1 })],
  ])('%s', async (_, open) => {
    await expect(open()).rejects.toMatchObject(refused)
    expect(isHarmed()).toBe(false)
  })

  test('a word that is not true is no trust', async () => {
    await expect(Diffusion.load(stranger, { trust: 'yes' as never })).rejects.toMatchObject({
      code: 'DPM_INVALID_OPTION',
      message: expect.stringContaining('Expected true or false for `trust` but received "yes"'),
    })
    expect(isHarmed()).toBe(false)
  })

  test('as a classifier it is none', async () => {
    await expect(NoisyClassifier.load(stranger)).rejects.toMatchObject({ code: 'DPM_INVALID_OPTION' })
    expect(isHarmed()).toBe(false)
  })

  test.each([
    ['sample', 'stranger.safetensors'],
    ['sample', 'stranger-run'],
    ['sample', 'stranger.safetensors', '--weaker', 'stranger.safetensors'],
    ['inspect', 'stranger.safetensors', '--verify', 'x.json'],
    ['train', '--resume', '--out', 'stranger-run'],
    ['train', 'stranger.json'],
    ['train', 'stranger.json', '--plan'],
    ['bench', 'stranger.json', '--steps', '1'],
  ])('dpm-torch %s %s', async (...args) => {
    const { code, stderr } = await command(args, folder.path)
    expect(stderr).toMatch(/trap\.pt.*--trust-torch-script/)
    expect(code).toBe(1)
    expect(isHarmed()).toBe(false)
  })

  test('runs where it is trusted, by API and by flag, and where the caller names it', async () => {
    using _ = await Diffusion.load(stranger, { trust: true, device: 'cpu' })
    expect(isHarmed()).toBe(true)
    await using trainer = await Trainer.create({ recipe, network: { kind: 'torch-script', file: trap } })
    expect(trainer.settings.network).toMatchObject({ file: trap })
    expect(isHarmed()).toBe(true)
    const { stderr } = await command(
      ['inspect', 'stranger.safetensors', '--verify', 'x.json', '--trust-torch-script'],
      folder.path,
    )
    expect(stderr).toMatch(/x\.json/)
    expect(isHarmed()).toBe(true)
  })
})

describe('a run of one', () => {
  const original = inFolder('normed.pt')
  const out = inFolder('run')
  const sha256 = createHash('sha256').update(readFileSync('test/fixtures/torch-script/normed.pt')).digest('hex')
  const copyName = `module-${sha256.slice(0, 16)}.pt`
  const options = (): RunOptions => ({
    ...tinyOptions(folder.path),
    network: { kind: 'torch-script', file: original, timeType: 'int64' },
    diffusion: { schedule: { kind: 'linear', steps: 100, scaleToSteps: true } },
    previews: { everySteps: 0 },
    device: 'cpu',
    budget: { steps: 2 },
    training: { batch: 8, averaging: [{ kind: 'power', deviation: 0.1 }] },
  })
  beforeAll(async () => {
    copyFileSync('test/fixtures/torch-script/normed.pt', original)
    await using trainer = await Trainer.create({ ...options(), out })
    await trainer.train()
  })
  const draw = async (path: string): Promise<number[]> => {
    using model = await Diffusion.load(path, { device: 'cpu', trust: true })
    return [...(await model.sample({ count: 1, steps: 2 })).data]
  }

  test('keeps its module, and what it was', async () => {
    expect(readFileSync(join(out, copyName))).toEqual(readFileSync(original))
    await using checkpoint = await Checkpoint.open(checkpointPath(out, 2))
    for (const settings of [checkpoint.settings, JSON.parse(readFileSync(join(out, 'config.json'), 'utf8'))]) {
      expect(settings).toMatchObject({ network: { file: original, sha256 } })
    }
  })

  test('is whole: moved, with the original gone, it draws and goes on; so does an average of it', async () => {
    const drawn = await draw(out)
    const [moved, average] = [inFolder('elsewhere/moved'), inFolder('averages/one.safetensors')]
    mkdirSync(dirname(average))
    cpSync(out, moved, { recursive: true })
    rmSync(original)
    try {
      expect(await draw(moved)).toEqual(drawn)
      expect(await draw(checkpointPath(moved, 2))).toEqual(drawn)
      await reconstructAverage(moved, { deviation: 0.1, out: average })
      expect(readdirSync(dirname(average)).sort()).toEqual([copyName, 'one.safetensors'])
      expect((await draw(average)).length).toBe(64)
      await using trainer = await Trainer.create({ resume: true, out: moved, budget: { steps: 3 }, trust: true })
      await trainer.train()
      expect(trainer.step).toBe(3)
    } finally {
      copyFileSync('test/fixtures/torch-script/normed.pt', original)
    }
  })

  test('refuses another module than its own, and says where it looked for one that is lost', async () => {
    const broken = inFolder('broken')
    cpSync(out, broken, { recursive: true })
    copyFileSync('test/fixtures/torch-script/small.pt', join(broken, copyName))
    await expect(draw(broken)).rejects.toMatchObject({
      code: 'DPM_FILE_INVALID',
      message: expect.stringMatching(new RegExp(`Expected the module with SHA-256 ${sha256} .* it is another one`)),
    })
    rmSync(join(broken, copyName))
    renameSync(original, `${original}.away`)
    await expect(draw(broken)).rejects.toMatchObject({
      code: 'DPM_FILE_MISSING',
      message: expect.stringMatching(new RegExp(`no file .*normed\\.pt for \`network\\.file\`, nor .*${copyName}`)),
    })
    renameSync(`${original}.away`, original)
    expect((await draw(broken)).length).toBe(64)
  })

  test('of 0.1.0, which kept neither copy nor sum, opens with trust and becomes whole when it goes on', async () => {
    const old = inFolder('old')
    cpSync(out, old, { recursive: true })
    rmSync(join(old, copyName))
    const config = JSON.parse(readFileSync(join(old, 'config.json'), 'utf8')) as { network: { sha256?: string } }
    delete config.network.sha256
    writeFileSync(join(old, 'config.json'), JSON.stringify(config))
    await using trainer = await Trainer.create({ resume: true, out: old, budget: { steps: 3 }, trust: true })
    await trainer.train()
    expect(existsSync(join(old, copyName))).toBe(true)
    expect((await draw(old)).length).toBe(64)
  })

  test('a sum that the caller gives is held to', async () => {
    const given = (sum: string) =>
      Network.fromTorchScript(original, {
        image: { channels: 1, height: 8, width: 8 },
        timeType: 'int64',
        device: 'cpu',
        sha256: sum,
      })
    using _ = await given(sha256)
    await expect(given('0'.repeat(64))).rejects.toMatchObject({ code: 'DPM_FILE_INVALID' })
    await expect(given('abc')).rejects.toMatchObject({ code: 'DPM_INVALID_OPTION' })
  })
})
