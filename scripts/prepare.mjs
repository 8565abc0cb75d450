#!/usr/bin/env node
// Makes a checkout ready to run: compiles and bundles lib/, installs libtorch, builds the addon; each only where missing
// or out of date, so that a second run takes a fraction of a second. npm runs it before `test` and `quickstart`.
import { spawnSync } from 'node:child_process'
import { existsSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { addonIsCurrent, buildAddon, compiled, filesBelow, main, Problem, root } from './build-addon.mjs'
import { bundlePath, writeBundle } from './bundle.mjs'

const started = performance.now()
const say = (line) => console.log(`prepare: ${line}`)

function modified(path) {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0
}

const compiledStamp = join(root, 'dist', '.compiled')
const bundledStamp = join(root, 'dist', '.bundled')

/** @param when the time before the work: a file saved meanwhile counts as newer. */
function writeStamp(path, when) {
  writeFileSync(path, `${when.toISOString()}\n`)
  utimesSync(path, when, when)
}

function compileLibrary() {
  const sources = [...filesBelow(join(root, 'lib')), join(root, 'tsconfig.json'), join(root, 'package.json')]
  // The folders too: a file that was deleted or renamed changes only its folder.
  const compiledAt = modified(compiledStamp)
  if (compiledAt > 0 && sources.every((path) => modified(path) < compiledAt)) return
  say('compiling lib/ into dist/')
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
  if (!existsSync(tsc)) throw new Problem('The development packages are not installed. Run `npm ci` first.')
  const now = new Date()
  const { status } = spawnSync(process.execPath, [tsc, '-p', root], { stdio: 'inherit' })
  if (status !== 0) throw new Problem('lib/ does not compile; the messages above say where.')
  writeStamp(compiledStamp, now)
}

async function bundleLibrary() {
  const packages = ['zod', 'rolldown'].map((name) => join(root, 'node_modules', name, 'package.json'))
  const sources = [compiledStamp, join(root, 'scripts', 'bundle.mjs'), ...packages]
  const bundledAt = modified(bundledStamp)
  if (existsSync(bundlePath) && sources.every((path) => modified(path) < bundledAt)) return
  say('bundling dist/ into dist/bundle/index.js')
  const now = new Date()
  await writeBundle()
  writeStamp(bundledStamp, now)
}

async function ensureLibtorch() {
  const { ensureLibtorch: ensure } = await compiled('libtorch/setup.js')
  const { showProgress } = await compiled('libtorch/progress.js')
  let printed = ''
  return ensure({
    onMessage: say,
    onProgress: (progress) => {
      const tenth = progress.totalBytes ? Math.floor((10 * progress.doneBytes) / progress.totalBytes) : 0
      const key = `${progress.stage} ${progress.name} ${tenth}`
      if (key !== printed) say(showProgress(progress))
      printed = key
    },
  })
}

await main(async () => {
  compileLibrary()
  await bundleLibrary()
  const libtorch = await ensureLibtorch()
  if (!addonIsCurrent(libtorch)) {
    say(`building the addon against libtorch ${libtorch.version} in ${libtorch.root}; this takes some minutes`)
    await buildAddon(libtorch)
  }
  say(`ready, after ${((performance.now() - started) / 1000).toFixed(1)} s`)
})
