// Finds Fashion-MNIST, or fetches Debian's package of it into the cache. Prints the folder; prints nothing, and says why,
// where it is not to be had. Used by the learning test and by `npm run data:fashion-mnist`.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { compiled } from './build-addon.mjs'

const file = 'train-images-idx3-ubyte.gz'
const installed = '/usr/share/datasets/fashion-mnist'

/** @returns {Promise<{ folder: string } | { reason: string }>} */
export async function findFashionMnist() {
  const { cacheFolder } = await compiled('libtorch/cache.js')
  const cached = join(cacheFolder(), 'datasets', 'fashion-mnist')
  for (const folder of [installed, cached]) if (existsSync(join(folder, file))) return { folder }
  mkdirSync(dirname(cached), { recursive: true })
  const work = mkdtempSync(join(dirname(cached), '.part-'))
  try {
    const run = (command, ...words) => spawnSync(command, words, { cwd: work, encoding: 'utf8' })
    let fetched = run('apt-get', 'download', 'dataset-fashion-mnist')
    if (fetched.error) return { reason: 'it comes from a Debian package, and there is no apt-get here' }
    if (fetched.status !== 0) {
      run('apt-get', 'update')
      fetched = run('apt-get', 'download', 'dataset-fashion-mnist')
    }
    const [archive] = readdirSync(work).filter((name) => name.endsWith('.deb'))
    if (!archive)
      return {
        reason: `apt-get could not fetch the package dataset-fashion-mnist: ${fetched.stderr.trim().split('\n').at(-1)}`,
      }
    const unpacked = run('dpkg-deb', '-x', archive, 'unpacked')
    if (unpacked.status !== 0) return { reason: `dpkg-deb could not unpack ${archive}` }
    renameSync(join(work, 'unpacked', installed), cached)
    return { folder: cached }
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const found = await findFashionMnist()
  if ('folder' in found) console.log(found.folder)
  else console.error(`Fashion-MNIST is not to be had: ${found.reason}.`)
  process.exitCode = 'folder' in found ? 0 : 1
}
