import { defineConfig } from 'vitest/config'

const project = (name: string, timeoutSeconds: number) => ({
  test: {
    name,
    include: [`test/${name}/**/*.test.ts`],
    testTimeout: timeoutSeconds * 1000,
    hookTimeout: timeoutSeconds * 1000,
    pool: 'forks' as const,
  },
})

/** `npm run test:slow`: what takes minutes, and runs before a release instead of before every landing. */
const slow = process.env['DPM_SLOW_TESTS'] === '1'

export default defineConfig({
  test: {
    // Native code uses every core by itself; two files at once would fight for them.
    fileParallelism: false,
    projects: slow
      ? [project('slow', 3600)]
      : [
          project('unit', 60),
          project('native', 180),
          project('parity', 180),
          project('learning', 900),
          project('cuda', 600),
        ],
  },
})
