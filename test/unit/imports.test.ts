import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { describe, expect, test } from 'vitest'

/** Who may import whom: a folder imports only folders of its own or a lower floor. */
const floors: Readonly<Record<string, number>> = {
  cli: 5,
  benchmark: 4,
  evaluation: 4,
  training: 4,
  generation: 3,
  sampling: 2,
  checkpoints: 2,
  datasets: 2,
  networks: 2,
  diffusion: 2,
  images: 2,
  tensor: 1,
  native: 1,
  libtorch: 1,
  options: 1,
  random: 1,
  files: 1,
}

const root = resolve('lib')
const files = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((name) => /(?<!\.d)\.ts$/.test(name))
const folderOf = (path: string): string => (path.includes('/') ? (path.split('/')[0] ?? '') : '')

function importsOf(file: string, typesToo: boolean): string[] {
  const text = readFileSync(join(root, file), 'utf8')
  const pattern = /^(?:import|export)\s+(type\s)?(?:[^'"]*?\sfrom\s+)?['"](\.[^'"]+)['"]/gm
  return [...text.matchAll(pattern)]
    .filter(([, type]) => typesToo || type === undefined)
    .map(([, , target]) => relative(root, resolve(dirname(join(root, file)), target ?? '')).replace(/\.js$/, '.ts'))
}

describe('dependencies point one way', () => {
  test.each(Object.keys(floors))('%s imports its own floor or lower ones', (folder) => {
    const upward = files
      .filter((file) => folderOf(file) === folder)
      .flatMap((file) => importsOf(file, false).map((target) => ({ file, target })))
      .filter(({ target }) => folderOf(target) !== folder && (floors[folderOf(target)] ?? 0) > (floors[folder] ?? 0))
    expect(upward).toEqual([])
  })

  test('every folder of lib has a floor', () => {
    const folders = new Set(files.map(folderOf).filter((folder) => folder !== ''))
    expect([...folders].filter((folder) => floors[folder] === undefined)).toEqual([])
  })

  test.each(['diffusion', 'sampling', 'random', 'options'])(
    '%s reaches no addon, no libtorch and no images',
    (folder) => {
      const seen = new Set<string>()
      const visit = (file: string): void => {
        if (seen.has(file)) return
        seen.add(file)
        for (const target of importsOf(file, false)) visit(target)
      }
      for (const file of files) if (folderOf(file) === folder) visit(file)
      expect(
        [...seen].filter(
          (file) => file === 'native/load.ts' || file === 'native/call.ts' || /^(libtorch|images)\//.test(file),
        ),
      ).toEqual([])
    },
  )

  test('nothing imports the public surface', () => {
    expect(files.filter((file) => importsOf(file, true).includes('index.ts'))).toEqual([])
  })
})
