#!/usr/bin/env node
// The native tests on an addon that watches itself: `npm run test:sanitized` for memory and undefined behaviour,
// `npm run test:sanitized -- thread` for data races. Names of test files may follow. docs/native.md says what it cannot see.
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buildAddon, compiled, main, Problem, root } from './build-addon.mjs'

/** What gcc's -fsanitize takes, the library that must be in the process before Node's own code, and its options. */
const kinds = {
  address: {
    flags: 'address,undefined',
    libraries: ['libasan.so', 'libubsan.so'],
    options: (reports) => ({
      // Node keeps memory to its end, and libtorch keeps its static objects: leaks are counted by the tests themselves.
      ASAN_OPTIONS: `allocator_may_return_null=1:detect_leaks=0:detect_stack_use_after_return=1:strict_string_checks=1:log_path=${join(reports, 'address')}`,
      UBSAN_OPTIONS: `print_stacktrace=1:halt_on_error=1:log_path=${join(reports, 'undefined')}`,
    }),
  },
  thread: {
    flags: 'thread',
    libraries: ['libtsan.so'],
    options: (reports) => ({
      // Locks and barriers of libgomp, libuv and V8 are taken in code that is not instrumented and cannot be seen.
      TSAN_OPTIONS: `ignore_noninstrumented_modules=1:suppressions=${join(root, 'scripts', 'thread-sanitizer.txt')}:exitcode=66:log_path=${join(reports, 'thread')}`,
    }),
  },
}

/** Files whose point is another build, another process or a limit that a sanitizer's own memory breaks. */
const leftOut = ['package', 'first-call', 'event-loop', 'switches']

function libraryOf(name) {
  const path = execFileSync(process.env.CXX ?? 'g++', [`-print-file-name=${name}`], { encoding: 'utf8' }).trim()
  if (!existsSync(path))
    throw new Problem(`The compiler has no ${name}: install its sanitizers (Debian: libasan8, libubsan1, libtsan2).`)
  return path
}

await main(async () => {
  const [first, ...rest] = process.argv.slice(2)
  const name = first in kinds ? first : 'address'
  const files = first === undefined || first in kinds ? rest : [first, ...rest]
  const kind = kinds[name]
  const { discoverLibtorch } = await compiled('libtorch/discover.js')
  const work = join(root, 'build', `sanitized-${name}`)
  console.log(
    `test-sanitized: building with -fsanitize=${kind.flags} in ${work}; this takes some minutes the first time`,
  )
  const addon = await buildAddon(discoverLibtorch(), work, kind.flags)
  const reports = mkdtempSync(join(tmpdir(), 'dpm-sanitized-'))
  try {
    const exclude = leftOut.flatMap((file) => ['--exclude', `test/native/${file}.test.ts`])
    const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs')
    const { status } = spawnSync(
      process.execPath,
      [vitest, 'run', '--project', 'native', '--testTimeout=1200000', ...exclude, ...files],
      {
        cwd: root,
        stdio: 'inherit',
        env: {
          ...process.env,
          ...kind.options(reports),
          DPM_TORCH_ADDON: addon,
          DPM_TORCH_SANITIZED: name,
          LD_PRELOAD: kind.libraries.map(libraryOf).join(' '),
        },
      },
    )
    const found = readdirSync(reports)
    for (const file of found.slice(0, 5)) console.error(readFileSync(join(reports, file), 'utf8').slice(0, 8000))
    console.log(
      `test-sanitized: ${found.length === 0 ? 'nothing found' : `${found.length} processes reported something`}`,
    )
    if (found.length > 0 || status !== 0) process.exitCode = 1
  } finally {
    rmSync(reports, { recursive: true, force: true })
  }
})
