/** A run goes on from a whole checkpoint or says which are broken; it never begins anew over them. */
import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { checkpointName } from '../../lib/checkpoints/checkpoint.js'
import { findResumable, writeCheckpoint } from '../../lib/checkpoints/checkpoint-folder.js'

let folder: string
let warnings: string[]
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dpm-resumable-'))
  warnings = []
})
afterEach(async () => {
  await rm(folder, { recursive: true })
})

const warn = (message: string): void => void warnings.push(message)
const write = (step: number): Promise<string> =>
  writeCheckpoint(folder, {
    settings: {},
    progress: { step },
    classes: [],
    image: { channels: 1, height: 1, width: 1 },
    tensors: [{ name: 'network.x', dtype: 'float32', shape: [1], read: async () => new Uint8Array(4) }],
  })

test('no checkpoint was ever written: there is none, without a word', async () => {
  expect(await findResumable(folder, warn)).toBeUndefined()
  expect(await findResumable(join(folder, 'none'), warn)).toBeUndefined()
  await writeFile(join(folder, `.${checkpointName(3)}.0123456789ab.part`), '')
  expect(await findResumable(folder, warn)).toBeUndefined()
  expect(warnings).toEqual([])
})

test.each([0, 8, 100])(
  'all are cut to %d bytes: each is named with what is wrong, and none is touched',
  async (length) => {
    const paths = [await write(10), await write(20)]
    for (const path of paths) await truncate(path, length)
    const failure = await findResumable(folder, warn).catch((error: unknown) => error)
    expect(failure).toMatchObject({ code: 'DPM_FILE_INVALID' })
    const { message } = failure as Error
    const reason = length === 0 ? 'it is empty' : 'not a valid safetensors'
    for (const step of [10, 20]) expect(message).toMatch(new RegExp(`\n${checkpointName(step)}: .*${reason}`))
    expect(message).toMatch(/Put a whole copy .* begin a new run in another folder/)
    expect((await readdir(folder)).sort()).toEqual(['latest.json', checkpointName(10), checkpointName(20)])
  },
)

test('the files are gone and latest.json names one: the run does not begin anew', async () => {
  await rm(await write(10))
  await expect(findResumable(folder, warn)).rejects.toMatchObject({
    code: 'DPM_FILE_INVALID',
    message: expect.stringContaining(checkpointName(10)),
  })
})

test('the newest is broken and an older one whole: it goes on from that, keeps the broken one, and says so', async () => {
  const older = await write(10)
  await write(20)
  const newest = await write(30)
  await rm(join(folder, checkpointName(20)))
  await truncate(newest, 70)
  const torn = await readFile(newest)
  await writeFile(`${newest}.broken`, 'of another time')
  expect(await findResumable(folder, warn)).toBe(older)
  expect(warnings.at(-1)).toMatch(
    /goes on from step 10: .*step-00000030.* is kept as step-00000030\.safetensors\.broken\.2\.$/,
  )
  expect(await readFile(`${newest}.broken.2`)).toEqual(torn)
  expect(await readdir(folder)).not.toContain(checkpointName(30))
})

test('a broken one behind the one that latest.json names is kept too', async () => {
  const named = await write(10)
  await writeFile(join(folder, checkpointName(99)), 'torn')
  expect(await findResumable(folder, warn)).toBe(named)
  expect((await readdir(folder)).sort()).toEqual(['latest.json', checkpointName(10), `${checkpointName(99)}.broken`])
})
