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

export default defineConfig({
  test: {
    // Native code uses every core by itself; two files at once would fight for them.
    fileParallelism: false,
    projects: [
      project('unit', 60),
      project('native', 180),
      project('parity', 180),
      project('learning', 900),
      project('cuda', 600),
    ],
  },
})
