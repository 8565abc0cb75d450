/** Places are refused before the work, or made; what is not written to is not left behind. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { tryFolder, tryWriting, writeAtomically } from '../../lib/files/atomic-write.js'
import { requireFolderName, requireNoOtherEnding } from '../../lib/files/name-endings.js'
import { OutputPlaces, writeEach } from '../../lib/files/output-places.js'

const root = mkdtempSync(join(tmpdir(), 'output-places-'))
afterAll(() => rmSync(root, { recursive: true }))

let folder = ''
let number = 0
beforeEach(() => {
  folder = join(root, String(number++))
  mkdirSync(folder)
})
const at = (...names: string[]): string => join(folder, ...names)
const file = (path: string, name = '--out') => ({ name, path, kind: 'file' }) as const
const inFolder = (path: string, name = '--out') => ({ name, path, kind: 'folder' }) as const

describe('folders', () => {
  test('are made, deep ones too, and taken away again where nothing was written', async () => {
    {
      await using _ = await OutputPlaces.open([file(at('a', 'b', 'c.png')), inFolder(at('d', 'e'))])
      expect([existsSync(at('a', 'b')), existsSync(at('d', 'e'))]).toEqual([true, true])
      expect(readdirSync(at('a', 'b'))).toEqual([])
    }
    expect(readdirSync(folder)).toEqual([])
  })

  test('stay when something is in them, and when they were there before', async () => {
    mkdirSync(at('old'))
    {
      await using _ = await OutputPlaces.open([file(at('a', 'b', 'c.png')), inFolder(at('old'))])
      writeFileSync(at('a', 'b', 'c.png'), '')
    }
    expect([existsSync(at('a', 'b', 'c.png')), existsSync(at('old'))]).toEqual([true, true])
  })

  test('are taken away when a later place is refused', async () => {
    writeFileSync(at('file'), '')
    const places = [inFolder(at('new', 'deep')), file(at('file', 'x.png'), '--gif')]
    await expect(OutputPlaces.open(places)).rejects.toThrow(/a part of the path is a file/)
    expect(readdirSync(folder)).toEqual(['file'])
  })
})

describe('refused before the work', () => {
  test('a file that is a folder, a folder that is a file, a name that is too long', async () => {
    mkdirSync(at('folder.png'))
    writeFileSync(at('file'), '')
    await expect(OutputPlaces.open([file(at('folder.png'))])).rejects.toThrow(/there is a folder of that name/)
    await expect(OutputPlaces.open([inFolder(at('file'))])).rejects.toThrow(/is a file, not a folder/)
    for (const place of [file(at('n'.repeat(300))), inFolder(at('n'.repeat(300), 'x'))]) {
      await expect(OutputPlaces.open([place])).rejects.toMatchObject({
        code: 'DPM_WRITE_FAILED',
        message: expect.stringMatching(/the name is too long/),
      })
    }
    expect(readdirSync(folder).sort()).toEqual(['file', 'folder.png'])
  })

  test.skipIf(!existsSync('/proc/self'))('a place where the system lets nobody write', async () => {
    await expect(OutputPlaces.open([file('/proc/x.png')])).rejects.toMatchObject({ code: 'DPM_WRITE_FAILED' })
    await expect(OutputPlaces.open([inFolder('/proc')])).rejects.toMatchObject({ code: 'DPM_WRITE_FAILED' })
  })

  test.skipIf(!existsSync('/dev/full'))('a device that takes nothing, also by a link', async () => {
    symlinkSync('/dev/full', at('full.png'))
    for (const path of ['/dev/full', at('full.png')]) {
      await expect(OutputPlaces.open([file(path)])).rejects.toThrow(/the disk is full/)
    }
    await using _ = await OutputPlaces.open([file('/dev/null')])
  })

  test('links in a circle', async () => {
    symlinkSync(at('one'), at('two'))
    symlinkSync(at('two'), at('one'))
    await expect(OutputPlaces.open([inFolder(at('one', 'x'))])).rejects.toMatchObject({ code: 'DPM_WRITE_FAILED' })
  })

  test.each(['', 'a\0b', undefined, 7])('%j is no path', async (path) => {
    await expect(OutputPlaces.open([file(path as string)])).rejects.toMatchObject({
      code: 'DPM_INVALID_OPTION',
      message: expect.stringMatching(/^Expected a path for `--out`/),
    })
  })
})

describe('two places', () => {
  test.each([
    ['the same name', 'a.gif', 'a.gif'],
    ['by another way', 'a.gif', 'x/../a.gif'],
    ['through a link', 'a.gif', 'link/a.gif'],
    ['a file, and a folder of that name', 'a.gif', 'a.gif/'],
    ['a file, and one in a folder of that name', 'a.gif', 'a.gif/b.gif'],
  ])('%s: refused', async (_, one, other) => {
    mkdirSync(at('x'))
    symlinkSync(folder, at('link'))
    const places = [file(join(folder, one)), { name: '--gif', path: `${folder}/${other}`, kind: 'file' } as const]
    await expect(OutputPlaces.open(places)).rejects.toMatchObject({
      code: 'DPM_INVALID_OPTION',
      message: expect.stringMatching(/^`--out` and `--gif` both name .*a\.gif/),
    })
  })

  test('a file in a folder that is filled is fine', async () => {
    await using _ = await OutputPlaces.open([inFolder(at('out')), file(at('out', 'a.gif'), '--gif')])
    expect(existsSync(at('out'))).toBe(true)
  })
})

describe('what is read', () => {
  test('is not replaced: by its name, through a link, or as a part of a run', async () => {
    writeFileSync(at('x.safetensors'), 'weights')
    symlinkSync(at('x.safetensors'), at('link.safetensors'))
    const input = { name: 'the source', path: at('x.safetensors') }
    for (const path of [at('x.safetensors'), at('link.safetensors'), at('.', 'x.safetensors')]) {
      await expect(OutputPlaces.open([file(path)], [input])).rejects.toMatchObject({
        code: 'DPM_INVALID_OPTION',
        message: expect.stringMatching(
          /^Expected another file than the source for `--out` but received .* Choose another name\.$/,
        ),
      })
    }
    const run = { name: 'the run', path: at('run') }
    for (const part of ['config.json', 'metrics.jsonl', 'checkpoints/step-00000001.safetensors', 'snapshots/new.bin']) {
      await expect(OutputPlaces.open([file(at('run', part))], [run])).rejects.toThrow(/apart from the files of the run/)
    }
    expect(readdirSync(folder).sort()).toEqual(['link.safetensors', 'x.safetensors'])
  })

  test('in a folder of files: what is there stays; where all is read, nothing new comes either', async () => {
    mkdirSync(at('in'))
    writeFileSync(at('in', 'old.png'), '')
    const input = (kind: 'folder' | 'closed') => [{ name: 'the source', path: at('in'), kind }]
    await expect(OutputPlaces.open([file(at('in', 'old.png'))], input('folder'))).rejects.toThrow(
      /apart from the files of the source/,
    )
    await using _ = await OutputPlaces.open([file(at('in', 'new.png'))], input('folder'))
    for (const place of [file(at('in', 'new.png')), inFolder(at('in', 'deep')), inFolder(at('in'))]) {
      await expect(OutputPlaces.open([place], input('closed'))).rejects.toThrow(/apart from the files of the source/)
    }
    await using __ = await OutputPlaces.open([file(at('inside.png'))], input('closed'))
  })

  test('of a run: its folder may be added to', async () => {
    const run = { name: 'the run', path: at('run') }
    await using _ = await OutputPlaces.open([inFolder(at('run')), file(at('run', 'samples', 'a.png'), '--gif')], [run])
  })
})

describe('a trial', () => {
  test('leaves nothing, and takes away what killed writes left, but nothing of one that may be under way', async () => {
    const left = at('.grid.png.0123456789ab.part')
    writeFileSync(left, '')
    utimesSync(left, 1e9, 1e9)
    const others = ['.other.png.0123456789ab.part', '.grid.png.notes.part', 'grid.png.part']
    for (const name of others) writeFileSync(at(name), '')
    await tryWriting(at('grid.png'))
    await tryFolder(folder)
    expect(readdirSync(folder).sort()).toEqual(others.sort())
  })

  test('a name of 85 Chinese characters is as long as names may be, and is written', async () => {
    const path = at(`${'图'.repeat(83)}.png`)
    await tryWriting(path)
    await writeAtomically(path, Uint8Array.of(1))
    expect(existsSync(path)).toBe(true)
  })
})

test('each of several files is written although one fails; the first failure is told', async () => {
  const no = async (): Promise<Uint8Array> => {
    throw new Error('no chart')
  }
  const yes = async (): Promise<Uint8Array> => Uint8Array.of(1)
  const { files, failure } = await writeEach({
    [at('a')]: yes,
    [at('b')]: no,
    [at('nowhere', 'c')]: yes,
    [at('d')]: yes,
  })
  expect(files).toEqual([at('a'), at('d')])
  expect(failure?.error).toMatchObject({ message: 'no chart' })
  expect(readdirSync(folder).sort()).toEqual(['a', 'd'])
})

describe('names', () => {
  test.each(['grid.bmp', 'a.GIF', 'deep/table.npz', 'x.safetensors'])('%s is no folder', (path) => {
    expect(() => requireFolderName(path, '--out')).toThrow(
      /^Expected a folder for `--out` but received .* end it with a slash/,
    )
  })

  test.each(['images', 'runs/exp1.5', 'v2.0', 'grid.bmp/', '.hidden', '..', 'a.b/c', 'n'.repeat(300)])(
    '%s may be one',
    (path) => {
      expect(() => requireFolderName(path, '--out')).not.toThrow()
    },
  )

  test('a folder that is there is one, whatever its name', () => {
    mkdirSync(at('odd.png'))
    expect(() => requireFolderName(at('odd.png'), '--out')).not.toThrow()
  })

  test('the name of a checkpoint may end as it likes, but not as another kind of file', () => {
    for (const path of ['a.safetensors', 'a', 'a.v2', 'A.SAFETENSORS']) {
      expect(() => requireNoOtherEnding(path, 'out', ['.safetensors'])).not.toThrow()
    }
    expect(() => requireNoOtherEnding('a.png', 'out', ['.safetensors'])).toThrow(/ends in \.safetensors for `out`/)
  })
})
