import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import {
  Checkpoint,
  type CheckpointContent,
  checkpointName,
  stepOfName,
  writeCheckpointFile,
} from '../../lib/checkpoints/checkpoint.js'
import { expiredSteps, findLatest, readCheckpoint, writeCheckpoint } from '../../lib/checkpoints/checkpoint-folder.js'
import { type Migration, migrate } from '../../lib/checkpoints/migrations.js'
import { writeSafetensors } from '../../lib/checkpoints/safetensors.js'
import { sweepTemporaries, writeAtomically } from '../../lib/files/atomic-write.js'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dpm-checkpoints-'))
})
afterEach(() => rm(folder, { recursive: true }))

/** Signalling NaN, negative zero, denormal, infinity: bits that a conversion would not keep. */
const oddBits = new Uint8Array(Uint32Array.of(0x7fa00001, 0x80000000, 1, 0x7f800000).buffer)

function content(step: number, bytes = oddBits): CheckpointContent {
  const names = ['network.w', 'average.0.w', 'average.1.w', 'optimizer.first.w', 'optimizer.second.w']
  return {
    settings: { recipe: 'tiny', optimizer: { learningRate: 0.1 + 0.2 } },
    progress: { step, images: step * 8, seconds: 12.25 },
    classes: ['cat', 'dög'],
    image: { channels: 3, height: 8, width: 8 },
    tensors: names.map((name) => ({ name, dtype: 'float32', shape: [4], read: async () => bytes })),
  }
}

describe('a checkpoint', () => {
  test('comes back as it was written, bit for bit', async () => {
    const path = await writeCheckpoint(folder, content(10_000))
    expect(path).toBe(join(folder, 'step-00010000.safetensors'))
    await using checkpoint = await readCheckpoint(path)
    const { settings, progress, classes, image } = content(10_000)
    expect(checkpoint).toMatchObject({ settings, progress, classes, image, step: 10_000, averages: 2 })
    for (const name of checkpoint.names()) expect(await checkpoint.read(name)).toEqual(oddBits)
    expect(checkpoint.names('average.1')).toEqual(['average.1.w'])
    expect(checkpoint.names('optimizer').sort()).toEqual(['optimizer.first.w', 'optimizer.second.w'])
    expect(checkpoint.info('network.w')).toEqual({ dtype: 'float32', shape: [4] })
  })

  test('written twice gives equal files', async () => {
    const first = await readFile(await writeCheckpointFile(folder, content(1)))
    expect(await readFile(await writeCheckpointFile(folder, content(1)))).toEqual(first)
  })

  test('its name tells its step, and no other name does', () => {
    for (const step of [0, 7, 99_999_999, 100_000_000]) expect(stepOfName(checkpointName(step))).toBe(step)
    for (const name of [
      'latest.json',
      'step-1.safetensors',
      '../step-00000001.safetensors',
      'step-00000001.safetensors.part',
    ]) {
      expect(stepOfName(name)).toBeUndefined()
    }
  })

  test('a number that JSON cannot hold is refused, not turned into null', async () => {
    const bad = { ...content(1), settings: { schedule: { sigmaMax: Infinity } } }
    await expect(writeCheckpoint(folder, bad)).rejects.toThrow(
      /finite number for `settings.*sigmaMax` but received Infinity/,
    )
    expect(await readdir(folder)).toEqual([])
  })

  test.each<[string, Record<string, string>, RegExp]>([
    ['of another program', { format: 'pt' }, /not a checkpoint of dpm-torch.*import/],
    ['of a newer version', { version: '99' }, /version 99.*reads versions up to 1.*Update dpm-torch/],
    ['of no version', { version: '0x1' }, /Expected a whole number from 1 to 1.*"0x1"/],
    ['with broken settings', { settings: '{' }, /The settings in the checkpoint/],
    ['with settings that are a list', { settings: '[]' }, /The settings in the checkpoint/],
    ['without a step', { progress: '{"step":-1}' }, /The progress in the checkpoint/],
    ['with an impossible image', { image: '{"channels":0,"height":8,"width":8}' }, /The image in the checkpoint/],
    ['with numbers for classes', { classes: '[1]' }, /The classes in the checkpoint/],
  ])('a file %s is refused', async (_, change, message) => {
    const path = join(folder, 'foreign.safetensors')
    const good = { format: 'dpm-torch', version: '1', settings: '{}', progress: '{"step":1}', classes: '[]' }
    const image = '{"channels":1,"height":8,"width":8}'
    await writeSafetensors(path, [], { ...good, image, ...change })
    const failure = await Checkpoint.open(path).catch((error: unknown) => error)
    expect(failure).toMatchObject({ code: 'DPM_FILE_INVALID', message: expect.stringMatching(message) })
  })
})

describe('migrations', () => {
  const steps: Migration[] = [
    {
      change: 'settings.lr was renamed',
      migrate: (fields) => ({ ...fields, settings: { rate: fields.settings.lr ?? 0 } }),
    },
    {
      change: 'tensors moved under network',
      migrate: (fields) => ({
        ...fields,
        tensorNames: new Map([...fields.tensorNames].map(([name, stored]) => [`network.${name}`, stored])),
      }),
    },
  ]
  const fields = { settings: { lr: 3 }, progress: {}, classes: [], image: null, tensorNames: new Map([['w', 'w']]) }

  test('each version passes through all later steps, in order', () => {
    expect(migrate(fields, '1', 'f', steps)).toMatchObject({
      settings: { rate: 3 },
      tensorNames: new Map([['network.w', 'w']]),
    })
    expect(migrate(fields, '2', 'f', steps)).toMatchObject({
      settings: { lr: 3 },
      tensorNames: new Map([['network.w', 'w']]),
    })
    expect(migrate(fields, '3', 'f', steps)).toEqual(fields)
    expect(() => migrate(fields, '4', 'f', steps)).toThrow(/version 4.*up to 3/)
  })
})

describe('the latest checkpoint', () => {
  test('is the one written last, in a run folder or a checkpoints folder', async () => {
    const inside = join(folder, 'checkpoints')
    await mkdir(inside)
    await writeCheckpoint(inside, content(10))
    await writeCheckpoint(inside, content(20))
    for (const place of [folder, inside]) {
      await using checkpoint = await readCheckpoint(place)
      expect(checkpoint.step).toBe(20)
    }
    expect(JSON.parse(await readFile(join(inside, 'latest.json'), 'utf8'))).toEqual({
      file: checkpointName(20),
      step: 20,
    })
  })

  test.each([
    ['missing', async () => rm(join(folder, 'latest.json'))],
    ['torn', async () => truncate(join(folder, 'latest.json'), 9)],
    ['pointing out of the folder', async () => writeFile(join(folder, 'latest.json'), '{"file":"../secret"}')],
    [
      'pointing to nothing',
      async () => writeFile(join(folder, 'latest.json'), JSON.stringify({ file: checkpointName(99) })),
    ],
  ])('is found by looking when latest.json is %s', async (_, spoil) => {
    await writeCheckpoint(folder, content(10))
    await writeCheckpoint(folder, content(20))
    await spoil()
    const warnings: string[] = []
    expect(await findLatest(folder, (message) => warnings.push(message))).toBe(join(folder, checkpointName(20)))
    expect(warnings.at(-1)).toMatch(/step-00000020.*newest complete/)
  })

  test('is an older one when the newest is truncated at any length, and the warning says so', async () => {
    await writeCheckpoint(folder, content(10))
    const newest = await writeCheckpoint(folder, content(20))
    const whole = await readFile(newest)
    for (const length of [0, 7, 8, 100, whole.length - 1]) {
      await writeFile(newest, whole.subarray(0, length))
      const warnings: string[] = []
      expect(await findLatest(folder, (message) => warnings.push(message))).toBe(join(folder, checkpointName(10)))
      expect(warnings[0]).toMatch(/latest\.json.*points to step-00000020/)
      await expect(readCheckpoint(newest)).rejects.toMatchObject({ code: 'DPM_FILE_INVALID' })
    }
  })

  test('does not exist in an empty folder', async () => {
    expect(await findLatest(folder)).toBeUndefined()
    await expect(readCheckpoint(folder)).rejects.toMatchObject({ code: 'DPM_FILE_MISSING' })
    await expect(readCheckpoint(join(folder, 'none'))).rejects.toMatchObject({ code: 'DPM_FILE_MISSING' })
  })
})

describe('retention', () => {
  test('keeps the last ones and every m-th, never the one just written', () => {
    const steps = [10, 20, 30, 40, 50, 60]
    expect(expiredSteps(steps, 60, { last: 2 })).toEqual([40, 30, 20, 10])
    expect(expiredSteps(steps, 60, { last: 2, everySteps: 20 })).toEqual([30, 10])
    expect(expiredSteps(steps, 30, { last: 1 })).toEqual([20, 10])
  })

  test('removes the files, and only checkpoints', async () => {
    await writeFile(join(folder, 'notes.txt'), '')
    for (const step of [1, 2, 3, 4]) await writeCheckpoint(folder, content(step), { last: 2, everySteps: 2 })
    const left = [2, 3, 4].map(checkpointName)
    expect((await readdir(folder)).sort()).toEqual(['latest.json', 'notes.txt', ...left])
  })

  test('a failed write removes nothing and replaces nothing', async () => {
    const path = await writeCheckpoint(folder, content(1), { last: 1 })
    const before = await readFile(path)
    await expect(writeCheckpoint(folder, content(1, new Uint8Array(3)), { last: 1 })).rejects.toThrow(
      /Expected 16 bytes/,
    )
    await expect(writeCheckpoint(folder, content(2, new Uint8Array(3)), { last: 1 })).rejects.toThrow(
      /Expected 16 bytes/,
    )
    expect(await readFile(path)).toEqual(before)
    expect((await readdir(folder)).sort()).toEqual(['latest.json', checkpointName(1)])
  })
})

describe('writing a file whole', () => {
  test('takes bytes, lists and streams, keeps permissions and follows links', async () => {
    const path = join(folder, 'file')
    await writeAtomically(path, Uint8Array.of(1))
    await chmod(path, 0o640)
    await symlink('file', join(folder, 'link'))
    await writeAtomically(join(folder, 'link'), [Uint8Array.of(2), Uint8Array.of(3)])
    expect([...(await readFile(path))]).toEqual([2, 3])
    expect((await stat(path)).mode & 0o777).toBe(0o640)
    await writeAtomically(
      path,
      (async function* () {
        yield Uint8Array.of(4)
      })(),
    )
    expect([...(await readFile(path))]).toEqual([4])
  })

  test('a source that fails leaves the old file and no other', async () => {
    const path = join(folder, 'file')
    await writeFile(path, 'old')
    const failing = (async function* () {
      yield Uint8Array.of(1)
      throw new Error('the source broke')
    })()
    await expect(writeAtomically(path, failing)).rejects.toThrow('the source broke')
    expect(await readFile(path, 'utf8')).toBe('old')
    expect(await readdir(folder)).toEqual(['file'])
  })

  test.each([
    ['none/file', /"[^"]*none\/file": the folder does not exist \(ENOENT\). Create the folder/],
    ['.', /there is a folder of that name \(EISDIR\)/],
    ['file/below', /a part of the path is a file, not a folder \(ENOTDIR\)/],
    ['x'.repeat(300), /the name is too long \(ENAMETOOLONG\)/],
  ])('%s: says why not', async (name, message) => {
    await writeFile(join(folder, 'file'), '')
    const failure = await writeAtomically(join(folder, name), Uint8Array.of(1)).catch((error: unknown) => error)
    expect(failure).toMatchObject({ code: 'DPM_WRITE_FAILED', message: expect.stringMatching(message) })
  })

  test('a full disk is called a full disk', async () => {
    // The kernel's own full disk: every write to it is refused with ENOSPC.
    const failure = await writeAtomically('/dev/full', Uint8Array.of(1)).catch((error: unknown) => error)
    expect(failure).toMatchObject({
      code: 'DPM_WRITE_FAILED',
      message: 'Could not write "/dev/full": the disk is full (ENOSPC). Free some space, or write to another disk.',
      details: { systemCode: 'ENOSPC' },
    })
  })

  test('what a crash left is swept, and nothing else', async () => {
    const names = ['.step-1.safetensors.0123456789ab.part', 'mine.part', '.hidden']
    for (const name of names) await writeFile(join(folder, name), '')
    expect(await sweepTemporaries(folder)).toEqual([names[0]])
    expect((await readdir(folder)).sort()).toEqual(['.hidden', 'mine.part'])
  })
})
