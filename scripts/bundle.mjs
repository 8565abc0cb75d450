// Puts what `import 'dpm-torch'` gives into one file, dist/bundle/index.js, with the used part of zod inside: reading
// hundreds of small files, and a whole schema library, is most of what the import would cost. Types and the command
// line stay as tsc writes them.
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { Problem, root } from './build-addon.mjs'

/** Packages whose code the bundle holds; their licences ask for the notice to travel with it. */
const inside = ['zod']

export const bundlePath = join(root, 'dist', 'bundle', 'index.js')

function notice(name) {
  const licence = readFileSync(join(root, 'node_modules', name, 'LICENSE'), 'utf8').trim()
  const lines = [`This file holds parts of ${name}, under this licence:`, '', ...licence.split(/\r?\n/)]
  return `/*!\n${lines.map((line) => ` * ${line}`.trimEnd()).join('\n')}\n */`
}

/** The package that a module comes from; undefined for our own. */
function packageOf(path) {
  return /^.*[\\/]node_modules[\\/]((?:@[^\\/]+[\\/])?[^\\/]+)/.exec(path)?.[1]
}

/**
 * One module of all that an entry reaches, still in memory: its code, what it imports, what it exports.
 * @param entry a compiled index.js; or lib/index.ts itself, which is how a test looks at it without a build.
 */
export async function bundle(entry) {
  const { rolldown } = await import('rolldown').catch(() => {
    throw new Problem('The development packages are not those of package.json. Run `npm ci` first.')
  })
  const { dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const build = await rolldown({
    input: entry,
    cwd: root,
    platform: 'node',
    external: Object.keys(dependencies).filter((name) => !inside.includes(name)),
    resolve: { extensionAlias: { '.js': ['.js', '.ts'] } },
  })
  try {
    const { output } = await build.generate({
      format: 'esm',
      codeSplitting: false,
      banner: inside.map(notice).join('\n'),
      // The declarations beside dist/index.d.ts have the documentation.
      comments: { jsdoc: false },
    })
    const [chunk, ...others] = output
    if (others.length > 0) throw new Problem(`The bundle fell into ${output.length} files instead of one.`)
    const strangers = new Set(
      chunk.moduleIds.map(packageOf).filter((name) => name !== undefined && !inside.includes(name)),
    )
    if (strangers.size > 0) {
      throw new Problem(
        `The bundle would take in ${[...strangers].join(', ')}. Make it a dependency in package.json, or name it in ` +
          '`inside` of scripts/bundle.mjs, with which its licence goes into the bundle.',
      )
    }
    return chunk
  } finally {
    await build.close()
  }
}

/** Writes the bundle of the compiled library; replaced whole, since another process may be importing it. */
export async function writeBundle() {
  const { code } = await bundle(join(root, 'dist', 'index.js'))
  mkdirSync(dirname(bundlePath), { recursive: true })
  const temporary = `${bundlePath}.${process.pid}.tmp`
  writeFileSync(temporary, code)
  renameSync(temporary, bundlePath)
}
