/** The package's entry: one file that opens nothing but Node's own modules until something is asked of it. */
import { readFileSync } from 'node:fs'
import { beforeAll, describe, expect, test } from 'vitest'
import * as library from '../../lib/index.js'

interface Chunk {
  readonly code: string
  readonly imports: readonly string[]
  readonly dynamicImports: readonly string[]
  readonly exports: readonly string[]
}

const { bundle, bundlePath } = (await import(new URL('../../scripts/bundle.mjs', import.meta.url).href)) as {
  bundle(entry: string): Promise<Chunk>
  bundlePath: string
}

describe('the bundle', () => {
  let chunk: Chunk
  beforeAll(async () => {
    chunk = await bundle('lib/index.ts')
  })

  test('is what package.json names, as deep as the compiled folders, so that paths from import.meta.url hold', () => {
    const manifest = JSON.parse(readFileSync('package.json', 'utf8')) as {
      exports: { '.': { types: string; default: string } }
    }
    expect(manifest.exports['.']).toEqual({ types: './dist/index.d.ts', default: './dist/bundle/index.js' })
    expect(bundlePath).toMatch(/\/dist\/bundle\/index\.js$/)
  })

  test('imports neither the addon nor sharp nor any other package before it is used', () => {
    expect(chunk.imports.filter((name) => !name.startsWith('node:'))).toEqual([])
    // Each of Node's modules takes a millisecond or more to open; crypto, zlib, child_process and process take 2 to 4.
    const opened = ['fs', 'fs/promises', 'module', 'os', 'path', 'timers/promises', 'url', 'util']
    expect([...chunk.imports].sort()).toEqual(opened.map((name) => `node:${name}`))
    expect([...chunk.dynamicImports].sort()).toEqual(['gifenc', 'sharp'])
    expect(chunk.code).not.toMatch(/\bfrom\s*["']zod/)
  })

  test('exports what lib/index.ts does, and bears the licence of the code inside', () => {
    expect([...chunk.exports].sort()).toEqual(Object.keys(library).sort())
    const licence = readFileSync('node_modules/zod/LICENSE', 'utf8')
    const [, copyright = ''] = /^(Copyright .*)$/m.exec(licence) ?? []
    expect(chunk.code.slice(0, 300)).toContain(copyright)
    expect(chunk.code).toContain('The above copyright notice and this permission notice shall be included')
  })
})
