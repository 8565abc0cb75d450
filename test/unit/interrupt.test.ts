/** What the first signal does, what the second, and what is no second one. */
import { afterEach, expect, test, vi } from 'vitest'
import { Interruption, interruptible } from '../../lib/cli/interrupt.js'

afterEach(() => {
  vi.restoreAllMocks()
})

/** Work that ends when it is cancelled, and saves for a moment. */
const saving = (milliseconds: number) => (signal: AbortSignal) =>
  new Promise<unknown>((resolve) => {
    signal.addEventListener('abort', () => setTimeout(() => resolve(signal.reason), milliseconds))
  })

test.each([
  ['SIGHUP', 129],
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const)('%s cancels work, and says %d', async (name, code) => {
  const told = vi.fn()
  const work = interruptible(saving(1), told)
  process.emit(name, name)
  expect(await work).toMatchObject({ exitCode: code, message: `interrupted by ${name}` })
  expect(told).toHaveBeenCalledOnce()
  expect(process.listenerCount(name)).toBe(0)
})

test('the same signal told twice at once is one; another one, or the same later, ends the process', async () => {
  const exit = vi.spyOn(process, 'exit').mockReturnValue(undefined as never)
  const now = vi.spyOn(performance, 'now').mockReturnValue(1000)
  const work = interruptible(saving(20))
  process.emit('SIGHUP', 'SIGHUP')
  now.mockReturnValue(1100)
  process.emit('SIGHUP', 'SIGHUP')
  expect(exit).not.toHaveBeenCalled()
  process.emit('SIGTERM', 'SIGTERM')
  expect(exit).toHaveBeenLastCalledWith(143)
  now.mockReturnValue(1600)
  process.emit('SIGHUP', 'SIGHUP')
  expect(exit).toHaveBeenLastCalledWith(129)
  await work
})

test.each([
  ['EPIPE', 0],
  ['EIO', 129],
  ['ENOSPC', 1],
])(
  'output that answers %s cancels work first, and the signal that follows is the first one',
  async (code, exitCode) => {
    const exit = vi.spyOn(process, 'exit').mockReturnValue(undefined as never)
    const listeners = process.stderr.listeners('error')
    process.stderr.removeAllListeners('error')
    const work = interruptible(saving(10))
    for (let again = 0; again < 3; again++) {
      process.stderr.emit('error', Object.assign(new Error(`write ${code}`), { code }))
    }
    process.emit('SIGHUP', 'SIGHUP')
    const reason = await work
    expect(reason).toBeInstanceOf(Interruption)
    expect(reason).toMatchObject({ exitCode, message: `interrupted by write ${code}` })
    expect(exit).not.toHaveBeenCalled()
    expect(process.stderr.listenerCount('error')).toBe(0)
    for (const listener of listeners) process.stderr.on('error', listener as () => void)
  },
)
