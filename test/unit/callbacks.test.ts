import { describe, expect, test } from 'vitest'
import { withCallback } from '../../lib/callback.js'
import { sample, sampleSteps } from '../../lib/sampling/sample.js'

const thrown = [
  new Error('mine'),
  new TypeError('mine'),
  'text',
  undefined,
  null,
  7,
  new DOMException('x', 'AbortError'),
  { code: 'DPM_NATIVE', message: 'like ours' },
  Symbol('s'),
]

/** What a promise is rejected with, whatever it is. */
async function caught(work: Promise<unknown>): Promise<unknown> {
  let failure: { readonly error: unknown } | undefined
  await work.catch((error: unknown) => {
    failure = { error }
  })
  if (!failure) throw new Error('it was not rejected')
  return failure.error
}

const halve = (x: Float64Array) => x.map((value) => value / 2)
const small = { denoiser: halve, shape: [2, 3], sampler: 'ddim', steps: 3 } as const

describe('a callback', () => {
  test.each(thrown.map((error) => [error]))(
    'that throws %s: the work rejects with it, even where others wrap it',
    async (error) => {
      const throwing = () => {
        throw error
      }
      expect(await caught(withCallback(throwing, async (tell) => tell?.()))).toBe(error)
      const wrapped = withCallback(throwing, async (tell) => {
        try {
          tell?.()
        } catch {
          throw new Error('native code says something else')
        }
      })
      expect(await caught(wrapped)).toBe(error)
    },
  )

  test.each(thrown.map((error) => [error]))(
    'whose promise is rejected with %s: so is the work, and nothing is unhandled',
    async (error) => {
      const work = withCallback(
        async () => Promise.reject(error),
        async (tell) => {
          tell?.()
          return 'done'
        },
      )
      expect(await caught(work)).toBe(error)
    },
  )

  test('a rejection ends the work at the next call; a promise is waited for before the call settles', async () => {
    let calls = 0
    const work = withCallback(
      async () => {
        calls += 1
        throw new Error('no')
      },
      async (tell) => {
        for (let i = 0; i < 100; i++) {
          tell?.()
          await new Promise(setImmediate)
        }
      },
    )
    await expect(work).rejects.toThrow('no')
    expect(calls).toBe(1)
    let settled = false
    const slow = () =>
      new Promise<void>((done) =>
        setTimeout(() => {
          settled = true
          done()
        }, 30),
      )
    expect(
      await withCallback(slow, async (tell) => {
        tell?.()
        return 5
      }),
    ).toBe(5)
    expect(settled).toBe(true)
  })

  test('when the work itself fails, that is what is told, and a rejection that comes later is not unhandled', async () => {
    const late = () => new Promise((_, reject) => setTimeout(() => reject(new Error('late')), 5))
    await expect(
      withCallback(late, async (tell) => {
        tell?.()
        throw new Error('first')
      }),
    ).rejects.toThrow('first')
    await new Promise((done) => setTimeout(done, 20))
  })

  test('none at all is none', async () => {
    expect(await withCallback(undefined, async (tell) => tell)).toBeUndefined()
  })
})

describe('onStep of sample', () => {
  test.each(thrown.map((error) => [error]))('throwing or rejecting with %s rejects the call with it', async (error) => {
    expect(
      await caught(
        sample({
          ...small,
          onStep: () => {
            throw error
          },
        }),
      ),
    ).toBe(error)
    expect(await caught(sample({ ...small, onStep: async () => Promise.reject(error) }))).toBe(error)
  })
  test('is waited for, step by step', async () => {
    const order: string[] = []
    await sample({
      ...small,
      denoiser: (x) => {
        order.push('asked')
        return halve(x)
      },
      onStep: async () => {
        await new Promise(setImmediate)
        order.push('told')
      },
    })
    expect(order).toEqual(['asked', 'told', 'asked', 'told', 'asked', 'told'])
  })
})

describe('what a denoiser gives back', () => {
  const answers: readonly (readonly [string, unknown])[] = [
    ['nothing', undefined],
    ['null', null],
    ['a number', 3],
    ['text', '123456'],
    ['an object', {}],
    ['a function', halve],
    [
      'a generator',
      (function* () {
        yield 1
      })(),
    ],
    ['a set', new Set([1])],
    ['a DataView', new DataView(new ArrayBuffer(48))],
    ['a wrong length', [1, 2]],
    ['an ArrayBuffer', new ArrayBuffer(48)],
  ]
  test.each(answers)('%s is an error that names the label and what came', async (_, answer) => {
    for (const sampler of ['ddim', 'ddpm', 'rk45', 'heun'] as const) {
      for (const give of [answer, Promise.resolve(answer)]) {
        const work = sample({
          ...small,
          ...(sampler === 'rk45' ? { steps: undefined } : {}),
          sampler,
          denoiser: (() => give) as never,
        })
        const error = await caught(work)
        expect(error).toMatchObject({
          name: 'DpmError',
          message: expect.stringMatching(/numbers for `output of the network at label [\d.e-]+` but received/),
        })
      }
    }
  })

  test('nothing where a learned variance is wanted, from a guide, from the weaker one, as noise', async () => {
    const nothing = (() => undefined) as never
    const told = (pattern: RegExp) =>
      expect.objectContaining({ name: 'DpmError', message: expect.stringMatching(pattern) })
    expect(await caught(sample({ ...small, sampler: 'ddpm', variance: 'learned', denoiser: nothing }))).toEqual(
      told(/learned variance.*undefined.*return/),
    )
    expect(await caught(sample({ ...small, guides: [{ gradient: nothing }] }))).toEqual(
      told(/gradient of guide 0.*undefined/),
    )
    expect(await caught(sample({ ...small, guidance: { kind: 'auto', scale: 2 }, weaker: nothing }))).toEqual(
      told(/received undefined/),
    )
    expect(await caught(sample({ ...small, sampler: 'ddpm', noise: nothing }))).toEqual(
      told(/noise of draw 0.*undefined/),
    )
  })

  test.each(thrown.map((error) => [error]))('throwing or rejecting with %s rejects the call with it', async (error) => {
    for (const sampler of ['ddim', 'rk45'] as const) {
      const steps = sampler === 'rk45' ? undefined : 3
      expect(
        await caught(
          sample({
            ...small,
            sampler,
            steps,
            denoiser: () => {
              throw error
            },
          }),
        ),
      ).toBe(error)
      expect(await caught(sample({ ...small, sampler, steps, denoiser: async () => Promise.reject(error) }))).toBe(
        error,
      )
    }
  })
})

describe('options of sample', () => {
  const wrong: readonly (readonly [object, RegExp])[] = [
    [{ stepz: 3 }, /Unknown option `stepz`\. Did you mean `steps`\?/],
    [{ constructor: 1 }, /Unknown option `constructor`/],
    [JSON.parse('{"__proto__": 1}'), /Unknown option `__proto__`/],
    [{ shape: 5 }, /a list for `shape` but received 5/],
    [{ shape: undefined }, /a list for `shape` but received nothing/],
    [{ shape: [1e9, 1e9] }, /of memory/],
    [{ shape: [1e15, 1] }, /of memory/],
    [{ shape: [2, -3] }, /whole numbers above 0/],
    [{ denoiser: undefined }, /a function for `denoiser` but received nothing/],
    [{ denoiser: 'x' }, /a function for `denoiser`/],
    [{ schedule: null }, /schedule/],
    [{ schedule: { level: 5 } }, /schedule/],
    [{ guides: [{ guide: 1 }] }, /Unknown option `guides\.0\.guide`/],
    [{ guides: [null] }, /options|object/],
    [{ guides: [{ gradient: halve, scale: Number.NaN }] }, /a finite number for `guides\.0\.scale`/],
    [{ image: { data: [1] } }, /a finite number for `image\.strength` but received nothing/],
    [{ image: { data: 5, strength: 0.5 } }, /a list of numbers.*`image\.data`/],
    [{ inpaint: { known: [1], mask: null } }, /`inpaint\.mask`/],
    [{ initial: 'x' }, /`initial`/],
    [{ samples: 3 }, /`samples`/],
    [{ signal: {} }, /an AbortSignal for `signal`/],
    [{ noise: [] }, /a function for `noise`/],
    [{ steps: 1e9 }, /from 1 to/],
    [{ steps: '3' }, /`steps` but received "3"/],
    [{ sampler: undefined }, /sampler/],
    [{ seed: -1 }, /a whole number from 0 to 2\^64 - 1 for `seed` but received -1/],
    [{ seed: 0.5 }, /`seed` but received 0\.5/],
    [{ seed: 2 ** 60 }, /exact to 2\^53 - 1 only: give a bigint/],
    [{ seed: 2n ** 64n }, /`seed` but received 18446744073709551616n/],
    [{ seed: '12x' }, /`seed` but received "12x"/],
  ]
  test.each(wrong)('%o is named', async (change, message) => {
    const error = await caught(sample({ ...small, ...(change as object) } as never))
    expect(error).toMatchObject({ name: 'DpmError', message: expect.stringMatching(message) })
    await expect(sampleSteps({ ...small, ...(change as object) } as never).next()).rejects.toMatchObject({
      name: 'DpmError',
    })
  })

  test.each([undefined, null, 5, 'x', [], () => 1, Symbol('s'), new Map()])(
    '%s in place of the options',
    async (options) => {
      expect(await caught(sample(options as never))).toMatchObject({ name: 'DpmError', code: 'DPM_INVALID_OPTION' })
    },
  )

  test('a seed is taken as a number, a bigint or digits, to 2^64 - 1, each its own', async () => {
    const drawn = async (seed: number | bigint | string) => String((await sample({ ...small, seed })).data)
    expect(await drawn(7n)).toBe(await drawn(7))
    expect(await drawn('7')).toBe(await drawn(7))
    const large = [2 ** 53 - 1, 2n ** 53n, 2n ** 53n + 1n, 2n ** 64n - 1n, 2n ** 64n - 2n, 2n ** 63n]
    expect(new Set(await Promise.all(large.map(drawn))).size).toBe(large.length)
    expect(await drawn('18446744073709551615')).toBe(await drawn(2n ** 64n - 1n))
  })
})
