// clang-format over native/: checks, or with --write mends. Skipped, and said so, where clang-format is not installed.
import { spawnSync } from 'node:child_process'
import { filesBelow } from './build-addon.mjs'

const tool = ['clang-format', 'clang-format-14'].find((name) => !spawnSync(name, ['--version']).error)
const files = filesBelow('native').filter((path) => /\.(cpp|h|cu)$/.test(path))
if (!tool) {
  console.log('clang-format is not installed: the format of native/ was not checked.')
} else {
  const mode = process.argv.includes('--write') ? ['-i'] : ['--dry-run', '--Werror']
  const { status } = spawnSync(tool, [...mode, ...files], { stdio: 'inherit' })
  if (status !== 0) console.error('Run `npm run format`.')
  process.exitCode = status ?? 1
}
