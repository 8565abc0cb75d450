/**
 * What npm ships, installed into an empty project elsewhere: no compiler on PATH, the library's own folder only. With a
 * libtorch it trains; without one it says which command to run.
 */
import { execFile } from 'node:child_process'
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { discoverLibtorch } from '../../lib/libtorch/discover.js'

const run = promisify(execFile)
const work = mkdtempSync(join(tmpdir(), 'dpm-package-'))
const project = join(work, 'project')
const binaries = join(work, 'bin')
afterAll(() => rmSync(work, { recursive: true, force: true }))

/** The package as `npm run prebuilds` and `npm pack` make it, from this checkout's own build. */
async function pack(): Promise<string> {
  const staged = join(work, 'staged')
  for (const name of ['package.json', 'README.md', 'CHANGELOG.md', 'LICENSE', 'dist', 'recipes']) {
    cpSync(name, join(staged, name), { recursive: true })
  }
  const prebuilt = join(staged, 'prebuilds', 'linux-x64')
  mkdirSync(prebuilt, { recursive: true })
  cpSync('build/Release/dpm-torch.node', join(prebuilt, 'dpm-torch.glibc.node'))
  cpSync('build/Release/libdpm_core.so', join(prebuilt, 'libdpm_core.so'))
  const { stdout } = await run('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', work], {
    cwd: staged,
  })
  const [{ filename, files }] = JSON.parse(stdout) as [{ filename: string; files: { path: string }[] }]
  const paths = files.map(({ path }) => path)
  const needed = ['dist/bundle/index.js', 'dist/index.d.ts', 'dist/cli/main.js', 'recipes/sprites.json', 'LICENSE']
  expect(paths).toEqual(expect.arrayContaining(needed))
  const unwanted = /binding\.gyp|\.map$|(^|\/)\.|^(lib|native|test|scripts|node_modules)\//
  expect(paths.filter((path) => unwanted.test(path))).toEqual([])
  return join(work, filename)
}

const train = `
  import { memory, Trainer } from 'dpm-torch'
  const trainer = await Trainer.create({
    out: process.argv[2],
    data: { kind: 'idx', images: 'images', labels: null },
    network: { kind: 'unet', channels: 8, multipliers: [1, 2], blocks: 1, attentionResolutions: [], groups: 4 },
    training: { batch: 4 },
    budget: { steps: 10 },
    previews: { everySteps: 0 },
  })
  const { step } = await trainer.train()
  await trainer.close()
  console.log(JSON.stringify({ step, live: memory().tensors }))
`

/** Runs in the project with a PATH on which there is Node and nothing else. */
async function inProject(words: readonly string[], environment: Record<string, string>) {
  const env = { PATH: binaries, HOME: work, ...environment }
  return run(join(binaries, 'node'), words, { cwd: project, env }).then(
    ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
    ({ code, stdout, stderr }: { code: number; stdout: string; stderr: string }) => ({ code, stdout, stderr }),
  )
}

describe('the npm package', () => {
  beforeAll(async () => {
    const archive = await pack()
    mkdirSync(project, { recursive: true })
    mkdirSync(binaries)
    symlinkSync(process.execPath, join(binaries, 'node'))
    writeFileSync(join(project, 'package.json'), '{ "type": "module", "private": true }')
    await run('npm', ['install', '--no-audit', '--no-fund', '--ignore-scripts', archive], { cwd: project })
    const pixels = Buffer.alloc(16 + 20 * 64, 90)
    pixels.set([0, 0, 8, 3, 0, 0, 0, 20, 0, 0, 0, 8, 0, 0, 0, 8])
    writeFileSync(join(project, 'images'), pixels)
    writeFileSync(join(project, 'train.js'), train)
  })

  test('trains ten steps where libtorch is', async () => {
    const libtorch = discoverLibtorch().root
    const { code, stdout, stderr } = await inProject(['train.js', 'run'], { DPM_TORCH_LIBTORCH: libtorch })
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(JSON.parse(stdout)).toEqual({ step: 10, live: 0 })
    expect(readdirSync(join(project, 'run', 'checkpoints'))).toContain('step-00000010.safetensors')
  })

  test('says which command to run where libtorch is not', async () => {
    const { code, stderr } = await inProject(['train.js', 'other'], { DPM_TORCH_HOME: join(work, 'empty') })
    expect(code).toBe(1)
    expect(stderr).toContain('DPM_LIBTORCH_MISSING')
    expect(stderr).toContain('npx dpm-torch setup')
    expect(existsSync(join(work, 'empty'))).toBe(false)
  })

  test('its command answers', async () => {
    const cli = join(project, 'node_modules', 'dpm-torch', 'dist', 'cli', 'main.js')
    expect(dirname(cli)).toContain('dpm-torch')
    chmodSync(cli, 0o755)
    const { code, stdout } = await inProject([cli, 'recipes'], {})
    expect(code).toBe(0)
    expect(stdout).toContain('ddpm-cifar10')
  })

  test('can be required from CommonJS, and importing it loads neither libtorch nor sharp', async () => {
    const script = `
      const { sample } = require('dpm-torch')
      const maps = require('node:fs').readFileSync('/proc/self/maps', 'utf8')
      console.log(typeof sample, /libtorch|sharp|dpm_core/.test(maps))
    `
    writeFileSync(join(project, 'require.cjs'), script)
    const { stdout } = await inProject(['require.cjs'], {})
    expect(stdout.trim()).toBe('function false')
  })
})
