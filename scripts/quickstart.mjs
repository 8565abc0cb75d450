#!/usr/bin/env node
// What `npm run quickstart` does once the checkout is ready: sees how fast the machine is, trains the sprites recipe for
// as long as five minutes allow, then draws with guidance. What is given after `--` goes to `train`, and comes last.
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { constants } from 'node:os'
import { join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { loadBinding } from '../dist/native/load.js'
import { chooseEpochs } from './quickstart-epochs.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
const cli = join(root, 'dist', 'cli', 'main.js')

const given = process.argv.slice(2)

/**
 * Waits for a command, also when this process is told to stop: the command then has something to save. A terminal tells both
 * of Ctrl-C and of its end; only a SIGTERM comes to this process alone, and is passed on.
 */
async function run(words, stdout = 'inherit') {
  const child = spawn(process.execPath, [cli, ...words], { cwd: root, stdio: ['inherit', stdout, 'inherit'] })
  const listeners = { SIGINT: () => {}, SIGHUP: () => {}, SIGTERM: () => child.kill('SIGTERM') }
  for (const [name, listener] of Object.entries(listeners)) process.on(name, listener)
  let output = ''
  child.stdout?.setEncoding('utf8').on('data', (chunk) => {
    output += chunk
  })
  const [code, signal] = await new Promise((resolve, reject) => {
    child.on('error', reject).on('close', (...end) => resolve(end))
  })
  for (const [name, listener] of Object.entries(listeners)) process.removeListener(name, listener)
  if (code !== 0) process.exit(code ?? 128 + constants.signals[signal])
  return output
}

async function show(...words) {
  console.log(`\n$ npx dpm-torch ${words.map((word) => (/^[\w./=,-]+$/.test(word) ? word : `'${word}'`)).join(' ')}`)
  await run(words)
}

/** A folder of its own for every quickstart: sprites, sprites-2, sprites-3 … */
function freshFolder() {
  for (let n = 1; ; n++) {
    const folder = join('runs', n === 1 ? 'sprites' : `sprites-${n}`)
    if (!existsSync(join(root, folder))) return folder
  }
}

/** Half precision where the processor has products of it: more epochs fit into the time. */
function precision() {
  if (given.some((word) => word.includes('precision')) || !loadBinding().version().multipliesBfloat16) return []
  return ['--precision', 'bfloat16']
}

/** The recipe's own epochs may take longer than a first look should: as many as this machine gets through. */
async function budget(settings) {
  const minutes = ['--set', 'budget.minutes=5']
  if (given.some((word) => word.includes('budget.epochs='))) return minutes
  console.log('Measuring how fast this machine trains.')
  const plan = JSON.parse(await run(['train', 'sprites', ...settings, ...given, '--plan', '--json'], 'pipe'))
  const { epochs, reason } = chooseEpochs(plan)
  console.log(reason)
  return ['--set', `budget.epochs=${epochs}`, ...minutes]
}

/** The folder that was asked for. */
function givenFolder() {
  const at = given.findLastIndex((word) => word === '--out' || word.startsWith('--out='))
  return given[at] === '--out' ? given[at + 1] : given[at]?.slice('--out='.length)
}

const out = givenFolder() ?? freshFolder()
const pictures = { grid: join(out, 'samples', 'guided.png'), animation: join(out, 'samples', 'denoising.gif') }
const settings = precision()
await show('train', 'sprites', '--out', out, ...settings, ...(await budget(settings)), ...given)
const classes = [
  'Flags',
  'Smileys & Emotion',
  'People & Body',
  'Travel & Places',
  'Food & Drink',
  'Objects',
  'Animals & Nature',
  'Symbols',
]
const look = ['--count', '64', '--guidance', '2', '--seed', '1']
await show('sample', out, '--classes', classes.join(','), ...look, '--out', pictures.grid)

console.log('\nLook at what came out of noise:')
for (const picture of Object.values(pictures)) console.log(`  ${relative(process.cwd(), resolve(root, picture))}`)
