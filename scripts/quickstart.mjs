#!/usr/bin/env node
// What `npm run quickstart` does once the checkout is ready: trains the sprites recipe, then draws with guidance.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const cli = join(root, 'dist', 'cli', 'main.js')

function run(...words) {
  console.log(`\n$ npx dpm-torch ${words.join(' ')}`)
  const { status, signal } = spawnSync(process.execPath, [cli, ...words], { cwd: root, stdio: 'inherit' })
  if (status !== 0) process.exit(status ?? (signal === 'SIGINT' ? 130 : 1))
}

/** A folder of its own for every quickstart: sprites, sprites-2, sprites-3 … */
function freshFolder() {
  for (let n = 1; ; n++) {
    const folder = join('runs', n === 1 ? 'sprites' : `sprites-${n}`)
    if (!existsSync(join(root, folder))) return folder
  }
}

// The recipe's 32 epochs take longer than a first look should: 18, and five minutes at most however slow the machine.
const shorter = ['--set', 'budget.epochs=18', '--set', 'budget.minutes=5']

const out = freshFolder()
const pictures = { grid: join(out, 'samples', 'guided.png'), animation: join(out, 'samples', 'denoising.gif') }
run('train', 'sprites', '--out', out, ...shorter, ...process.argv.slice(2))
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
const look = ['--count', '64', '--guidance', '2', '--steps', '50', '--seed', '1']
run('sample', out, '--classes', classes.join(','), ...look, '--out', pictures.grid)

console.log('\nLook at what came out of noise:')
for (const picture of Object.values(pictures)) console.log(`  ${relative(process.cwd(), join(root, picture))}`)
