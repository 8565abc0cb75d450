import { describe, expect, test } from 'vitest'
import { type ChildEnd, runChild } from './child.js'

/** The long job would run for minutes; a process that waited for it would be far beyond this. */
const promptMilliseconds = 5_000

function expectEnd(end: ChildEnd, wanted: { code: number | null; signal?: NodeJS.Signals | null }): void {
  expect({ code: end.code, signal: end.signal, stderr: end.stderr }).toEqual({ signal: null, stderr: '', ...wanted })
  expect(end.lastLineToEnd).toBeLessThan(promptMilliseconds)
}

describe('a process that used the addon', () => {
  test('ends by itself with code 0 after its jobs, handles still alive', async () => {
    const end = await runChild(`
      await forwardChecksum()
      globalThis.kept = [await createNetwork(), createInput()]
      console.log('done')`)
    expectEnd(end, { code: 0 })
  })

  test('is kept alive by a pending job, and by nothing else', async () => {
    const end = await runChild(`
      const execution = await createExecution(20)
      binding.executionAdvance(execution, Infinity, null, null).then(({ done, evaluations }) => console.log(done, evaluations))`)
    expect(end.stdout).toBe('true 20\n')
    expectEnd(end, { code: 0 })
  })

  test.each([0, 1, 3, 10, 20, 40, 80, 150, 300, 600])('leaves a running job %i ms after its start', async (delay) => {
    const end = await runChild(`
      const { job } = await startLongJob()
      job.catch(() => {})
      setTimeout(() => { console.log('leaving'); process.exit(3) }, ${delay})`)
    expectEnd(end, { code: 3 })
  })

  test('leaves jobs that wait behind the running one', async () => {
    const end = await runChild(`
      await startLongJob()
      for (let i = 0; i < 50; i++) void forwardChecksum()
      await sleep(20)
      console.log('leaving')
      process.exit(4)`)
    expectEnd(end, { code: 4 })
  })

  test('dies of an uncaught exception in the middle of a job', async () => {
    const { stderr, ...end } = await runChild(`
      await startLongJob()
      setTimeout(() => { console.log('throwing'); throw new Error('on purpose') }, 50)`)
    expectEnd({ ...end, stderr: '' }, { code: 1 })
    expect(stderr).toContain('on purpose')
  })

  test.each(['SIGINT', 'SIGTERM'] as const)('dies of %s in the middle of a job', async (signal) => {
    const end = await runChild(`await startLongJob(); console.log('running')`, { signalAfterLine: signal })
    expectEnd(end, { code: null, signal })
  })

  test('can leave in a signal handler', async () => {
    const end = await runChild(
      `process.on('SIGINT', () => process.exit(130)); await startLongJob(); console.log('running')`,
      { signalAfterLine: 'SIGINT' },
    )
    expectEnd(end, { code: 130 })
  })
})

describe('workers', () => {
  const worker = (body: string): string =>
    JSON.stringify(`
    import('node:worker_threads').then(async ({ parentPort, threadId }) => {
      const addon = await import(process.env.DPM_TEST_MODULE)
      const { binding, forwardChecksum, createExecution, createInput, createNetwork, sleep, startLongJob } = addon
      ${body}
    })`)

  test('a worker is terminated in the middle of a job, 20 times; the main thread goes on', async () => {
    const end = await runChild(`
      const { Worker } = await import('node:worker_threads')
      const before = await forwardChecksum()
      for (let round = 0; round < 20; round++) {
        const worker = new Worker(${worker(`globalThis.kept = [await createNetwork(), createInput()]; await startLongJob(); void forwardChecksum(); parentPort.postMessage('running')`)}, { eval: true })
        await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject))
        await sleep(3 * round)
        await worker.terminate()
        if (await forwardChecksum() !== before) throw new Error('another result')
      }
      console.log(JSON.stringify(binding.memory()))`)
    expectEnd(end, { code: 0 })
    expect(JSON.parse(end.stdout)).toEqual({ tensors: 0, networks: 0, others: 0, bytes: 0, jobs: 0 })
  })

  test('a worker is terminated while results reach it', async () => {
    const end = await runChild(`
      const { Worker } = await import('node:worker_threads')
      for (let round = 0; round < 20; round++) {
        const worker = new Worker(${worker(`
          parentPort.postMessage('running')
          for (;;) await Promise.all(Array.from({ length: 50 }, () => binding.randomNormal(1, 0, 0, Float64Array.of(0), [1, 8], 'cpu').then(binding.tensorData)))`)}, { eval: true })
        await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject))
        await sleep(5 + 2 * round)
        await worker.terminate()
      }
      console.log(typeof await forwardChecksum())`)
    expectEnd(end, { code: 0 })
    expect(end.stdout).toBe('number\n')
  })

  test('a worker ends by itself, or by process.exit in the middle of a job', async () => {
    const end = await runChild(`
      const { Worker } = await import('node:worker_threads')
      const run = (code) => new Promise((resolve, reject) => new Worker(code, { eval: true }).once('exit', resolve).once('error', reject))
      const codes = [
        await run(${worker(`await forwardChecksum(); globalThis.kept = createInput()`)}),
        await run(${worker(`await startLongJob(); process.exit(5)`)}),
      ]
      console.log(codes.join(), typeof await forwardChecksum())`)
    expect(end.stdout).toBe('0,5 number\n')
    expectEnd(end, { code: 0 })
  })

  test('three environments compute at once, each the right numbers', async () => {
    const end = await runChild(`
      const { Worker } = await import('node:worker_threads')
      const expected = await forwardChecksum()
      const workers = [0, 1].map(() => new Promise((resolve, reject) =>
        new Worker(${worker(`const sums = []; for (let i = 0; i < 10; i++) sums.push(await forwardChecksum()); parentPort.postMessage(sums)`)}, { eval: true })
          .once('message', resolve).once('error', reject)))
      const own = []
      for (let i = 0; i < 10; i++) own.push(await forwardChecksum())
      const all = [own, ...await Promise.all(workers)].flat()
      console.log(all.length, all.every((sum) => sum === expected), Number.isFinite(expected) && expected !== 0)`)
    expect(end.stdout).toBe('30 true true\n')
    expectEnd(end, { code: 0 })
  })
})
