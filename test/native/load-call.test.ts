import { describe, expect, test } from 'vitest'
import { DpmError } from '../../lib/errors.js'
import type { Binding, CancellationHandle } from '../../lib/native/binding.js'
import { call, callSync } from '../../lib/native/call.js'

/** A binding with the three functions that a call itself uses, and a log of them. */
function standIn() {
  const log: string[] = []
  const handle = {} as CancellationHandle
  const binding = {
    cancellationCreate: () => {
      log.push('create')
      return handle
    },
    cancel: (cancellation: CancellationHandle) => log.push(cancellation === handle ? 'cancel' : 'cancel another'),
    dispose: () => log.push('dispose'),
  } as unknown as Binding
  return { log, handle, getBinding: () => binding }
}

const native = (code: string, message: string, more = {}) => Object.assign(new Error(message), { code, ...more })

describe('errors', () => {
  test('a native rejection keeps code, message, details and C++ stack', async () => {
    const { getBinding } = standIn()
    const failure = native('DPM_OUT_OF_MEMORY', 'no room', { nativeStack: 'frame #0', details: { requestedBytes: 7 } })
    const error = await call(undefined, () => Promise.reject(failure), getBinding).catch((caught: unknown) => caught)
    expect(error).toBeInstanceOf(DpmError)
    expect(error).toMatchObject({
      code: 'DPM_OUT_OF_MEMORY',
      message: 'no room',
      nativeStack: 'frame #0',
      details: { requestedBytes: 7 },
      cause: failure,
    })
  })

  test('what native code did not make passes as it is: another code, no code, no error at all', async () => {
    const { getBinding } = standIn()
    const strangers = [
      native('C10_ERROR', 'shape'),
      native('ENOENT', 'no file'),
      new Error('mine'),
      { code: 'DPM_DISPOSED', message: 'gone' },
      new DOMException('stop', 'AbortError'),
      'text',
      undefined,
      null,
      7,
    ]
    for (const stranger of strangers) {
      const caught = await call(undefined, () => Promise.reject(stranger), getBinding).then(
        () => 'nothing',
        (error: unknown) => error,
      )
      expect(caught).toBe(stranger)
    }
  })

  test.each([{}, 5, 'x', [], new EventTarget(), { aborted: false }])('%o is no signal', async (signal) => {
    const { getBinding } = standIn()
    const told = expect.objectContaining({
      code: 'DPM_INVALID_OPTION',
      message: expect.stringContaining('AbortSignal'),
    })
    await expect(call(signal as never, () => Promise.resolve(1), getBinding)).rejects.toEqual(told)
  })

  test('the stack shows the caller, which a native promise does not', async () => {
    const { getBinding } = standIn()
    async function theCaller(): Promise<unknown> {
      return await call(
        undefined,
        () => new Promise((_resolve, reject) => setImmediate(() => reject(native('DPM_NATIVE', 'late')))),
        getBinding,
      )
    }
    const error = (await theCaller().catch((caught: unknown) => caught)) as Error
    expect(error.stack).toContain('theCaller')
  })

  test('a mistake in JavaScript passes as it is', async () => {
    const { getBinding } = standIn()
    const mistake = new TypeError('x is not a function')
    await expect(call(undefined, () => Promise.reject(mistake), getBinding)).rejects.toBe(mistake)
    const own = new DpmError('DPM_DATA_INVALID', 'mine')
    await expect(call(undefined, () => Promise.reject(own), getBinding)).rejects.toBe(own)
  })

  test('callSync returns, and translates what is thrown', () => {
    const { getBinding } = standIn()
    expect(callSync(() => 3, getBinding)).toBe(3)
    const fail = () => {
      throw native('DPM_DISPOSED', 'gone')
    }
    expect(() => callSync(fail, getBinding)).toThrow(
      expect.objectContaining({ name: 'DpmError', code: 'DPM_DISPOSED' }),
    )
  })
})

describe('cancellation', () => {
  test('without a signal the job gets null, and no handle is made', async () => {
    const { log, getBinding } = standIn()
    expect(await call(undefined, (_binding, cancellation) => Promise.resolve(cancellation), getBinding)).toBeNull()
    expect(log).toEqual([])
  })

  test('a signal that has fired never starts the job, nor loads the addon', async () => {
    const reason = new Error('enough')
    let started = false
    const never = () => {
      started = true
      throw new Error('loaded')
    }
    const work = call(
      AbortSignal.abort(reason),
      async () => {
        started = true
      },
      never,
    )
    await expect(work).rejects.toMatchObject({ name: 'AbortError', code: 'DPM_ABORTED', cause: reason })
    expect(started).toBe(false)
  })

  test('a signal that fires cancels the job; its reason is the cause', async () => {
    const { log, handle, getBinding } = standIn()
    const controller = new AbortController()
    const reason = new Error('enough')
    let end: (error: unknown) => void = () => undefined
    const work = call(
      controller.signal,
      (_binding, cancellation) => {
        expect(cancellation).toBe(handle)
        return new Promise((_resolve, reject) => {
          end = reject
        })
      },
      getBinding,
    )
    controller.abort(reason)
    expect(log).toEqual(['create', 'cancel'])
    end(native('DPM_ABORTED', 'The work was cancelled.'))
    await expect(work).rejects.toMatchObject({ name: 'AbortError', code: 'DPM_ABORTED', cause: reason })
    expect(log).toEqual(['create', 'cancel', 'dispose'])
  })

  test('a job that ends leaves no listener and no handle', async () => {
    const { log, getBinding } = standIn()
    const controller = new AbortController()
    expect(await call(controller.signal, () => Promise.resolve(5), getBinding)).toBe(5)
    controller.abort()
    expect(log).toEqual(['create', 'dispose'])
  })

  test('a job that throws instead of rejecting is cleaned up too', async () => {
    const { log, getBinding } = standIn()
    const work = call(
      new AbortController().signal,
      () => {
        throw native('DPM_DISPOSED', 'gone')
      },
      getBinding,
    )
    await expect(work).rejects.toMatchObject({ code: 'DPM_DISPOSED' })
    expect(log).toEqual(['create', 'dispose'])
  })
})
