import { describe, expect, test } from 'vitest'
import { exitCodeOf } from '../../lib/cli/failure.js'
import { Interruption, interruptible } from '../../lib/cli/interrupt.js'
import { createProgram } from '../../lib/cli/program.js'
import { RunningLoss } from '../../lib/cli/running-loss.js'
import { StatusLine } from '../../lib/cli/status-line.js'
import { columns, count, wrapped } from '../../lib/cli/words.js'
import { DpmError } from '../../lib/errors.js'
import { assign, parseAssignment } from '../../lib/options/assign.js'
import { readRecipe } from '../../lib/training/recipes.js'
import { runOptions } from '../../lib/training/run-options.js'

const set = (options: Readonly<Record<string, unknown>>, ...texts: string[]) =>
  assign(options, texts.map(parseAssignment))

describe('--set', () => {
  test.each([
    ['a.b=3', { path: ['a', 'b'], value: 3 }],
    ['a=true', { path: ['a'], value: true }],
    ['a=[1,2]', { path: ['a'], value: [1, 2] }],
    ['a={"kind":"ddim"}', { path: ['a'], value: { kind: 'ddim' } }],
    ['a="7"', { path: ['a'], value: '7' }],
    ['a=1e-3', { path: ['a'], value: 0.001 }],
    ['a=data/x=y.png', { path: ['a'], value: 'data/x=y.png' }],
    ['a=null', { path: ['a'], value: null }],
    ['a=', { path: ['a'], value: undefined }],
  ])('%s is read', (text, assignment) => {
    const { path, value } = parseAssignment(text)
    expect({ path, value }).toEqual(assignment)
  })

  test.each(['a', '=3', 'a..b=3', '.a=3', 'a.=3'])('%s is refused', (text) => {
    expect(() => parseAssignment(text)).toThrow(/such as training.batch=32/)
  })

  test('changes what it names, makes what is missing on the way, and leaves the original as it was', () => {
    const options = Object.freeze({ a: Object.freeze({ b: 1, c: 2 }), list: Object.freeze([{ x: 1 }, { x: 2 }]) })
    expect(set(options, 'a.b=5', 'd.e.f=true', 'list.1.x=9', 'list.2={"x":3}')).toEqual({
      a: { b: 5, c: 2 },
      d: { e: { f: true } },
      list: [{ x: 1 }, { x: 9 }, { x: 3 }],
    })
    expect(options).toEqual({ a: { b: 1, c: 2 }, list: [{ x: 1 }, { x: 2 }] })
  })

  test('nothing after the = takes an option out, and an item from its list', () => {
    expect(set({ budget: { epochs: 3, steps: 9 }, list: [1, 2, 3] }, 'budget.epochs=', 'list.0=')).toEqual({
      budget: { epochs: undefined, steps: 9 },
      list: [2, 3],
    })
  })

  test('another kind begins its object anew, in whatever order; the same kind keeps it', () => {
    const options = { data: { kind: 'emoji', size: 16 } }
    const wanted = { data: { kind: 'image-folder', folder: 'pictures' } }
    expect(set(options, 'data.kind=image-folder', 'data.folder=pictures')).toEqual(wanted)
    expect(set(options, 'data.folder=pictures', 'data.kind=image-folder')).toEqual(wanted)
    expect(set(options, 'data.kind=emoji')).toEqual(options)
  })

  test('a name stands for its object, in whatever order; without more to say it stays a name', () => {
    const options = { schedule: { kind: 'linear', betaStart: 1e-4 }, sampler: 'ddim' }
    const wanted = { schedule: { kind: 'cosine', steps: 50 }, sampler: { kind: 'ddim', eta: 1 } }
    expect(set(options, 'schedule=cosine', 'schedule.steps=50', 'sampler.eta=1')).toEqual(wanted)
    expect(set(options, 'sampler.eta=1', 'schedule.steps=50', 'schedule=cosine')).toEqual(wanted)
    expect(set(options, 'schedule=cosine')).toEqual({ ...options, schedule: 'cosine' })
    const run = set(readRecipe('mnist'), 'diffusion.schedule=cosine', 'diffusion.schedule.steps=50')
    expect(runOptions.parse(run, 'mnist').diffusion.schedule).toMatchObject({ kind: 'cosine', steps: 50 })
  })

  test.each(['list.3=1', 'list.-1=1', 'list.x=1', 'list.1.5=1'])('%s on a list of two', (text) => {
    const outcome = () => set({ list: [[0], [0]] }, text)
    expect(outcome).toThrow(/Expected an index from 0 to/)
  })

  test('__proto__ is an option like any other, and changes no prototype', () => {
    const changed = set({}, '__proto__.polluted=1', 'constructor.prototype.polluted=1')
    expect(Object.keys(changed).sort()).toEqual(['__proto__', 'constructor'])
    expect(Object.hasOwn(Object.prototype, 'polluted')).toBe(false)
    expect(Object.getPrototypeOf(changed)).toBe(Object.prototype)
  })
})

/** A stream that keeps what is written to it. */
function fakeStream(terminal: { readonly columns: number } | undefined): {
  stream: NodeJS.WriteStream
  text(): string
} {
  let written = ''
  const stream = {
    isTTY: terminal !== undefined,
    columns: terminal?.columns,
    write: (text: string) => {
      written += text
      return true
    },
  }
  return { stream: stream as unknown as NodeJS.WriteStream, text: () => written }
}

describe('the status line', () => {
  test('on a terminal is written over, fits its width, and is gone before a line that stays', () => {
    const { stream, text } = fakeStream({ columns: 11 })
    let now = 0
    const line = new StatusLine(stream, () => now)
    line.show((width) => `${width} columns wide`)
    now = 50
    line.show(() => 'too soon')
    now = 150
    line.show(() => 'second')
    line.print('stays')
    expect(text()).toBe('\r\x1b[2K10 columns\r\x1b[2Ksecond\r\x1b[2Kstays\n')
  })

  test('elsewhere is a plain line after two seconds, then every ten', () => {
    const { stream, text } = fakeStream(undefined)
    let now = 0
    const line = new StatusLine(stream, () => now)
    for (now = 0; now <= 25_000; now += 500) line.show(() => `at ${now}`)
    line.clear()
    expect(text()).toBe('at 2000\nat 12000\nat 22000\n')
  })
})

test('the running loss is the mean at first, and forgets by 2 % a step', () => {
  const loss = new RunningLoss()
  expect(loss.mean).toBeUndefined()
  loss.add(4)
  expect(loss.mean).toBeCloseTo(4, 12)
  loss.add(2)
  expect(loss.mean).toBeCloseTo((0.98 * 4 + 2) / 1.98, 12)
  for (let i = 0; i < 2000; i++) loss.add(1)
  expect(loss.mean).toBeCloseTo(1, 12)
})

describe('exit codes', () => {
  test.each([
    [new Error('a fault'), 1],
    [new DpmError('DPM_DATA_MISSING', 'not there'), 1],
    [new DpmError('DPM_INVALID_OPTION', 'a typo'), 2],
    [new DpmError('DPM_INVALID_ARGUMENT', 'too many steps'), 2],
    [new DpmError('DPM_ABORTED', 'stopped', { cause: new Interruption('SIGINT') }), 130],
    [new DpmError('DPM_ABORTED', 'stopped', { cause: new Interruption('SIGTERM') }), 143],
    [new DpmError('DPM_WRITE_FAILED', 'full', { cause: new Error('ENOSPC') }), 1],
  ])('%s: %d', (error, code) => expect(exitCodeOf(error)).toBe(code))

  test('interruptible() leaves no listeners behind, whatever the end', async () => {
    const before = process.listenerCount('SIGINT')
    await interruptible(async () => expect(process.listenerCount('SIGINT')).toBe(before + 1))
    await expect(interruptible(() => Promise.reject(new Error('failed')))).rejects.toThrow('failed')
    expect(process.listenerCount('SIGINT')).toBe(before)
  })
})

describe('help', () => {
  const commands = createProgram().commands

  test('every command says what it does, and takes --verbose and --json', () => {
    expect(commands.map((command) => command.name())).toEqual([
      'setup',
      'doctor',
      'recipes',
      'train',
      'sample',
      'likelihood',
      'import',
      'export',
      'average',
      'inspect',
      'data',
      'list',
      'explain',
      'selftest',
      'bench',
    ])
    for (const command of commands) {
      expect(command.description(), command.name()).not.toBe('')
      const flags = command.options.map((option) => option.long)
      expect(flags, command.name()).toEqual(expect.arrayContaining(['--json', '--verbose']))
    }
  })
})

describe('words', () => {
  test('columns line up, the last is not filled', () => {
    expect(
      columns([
        ['a', 'bb', 'c'],
        ['aaa', '', 'd'],
      ]),
    ).toEqual(['a    bb  c', 'aaa      d'])
    expect(columns([])).toEqual([])
  })

  test('numbers are grouped, text is wrapped between words', () => {
    expect(count(35_746_307)).toBe('35,746,307')
    expect(wrapped('one two three', 7)).toEqual(['one two', 'three'])
    expect(wrapped('unbreakable', 4)).toEqual(['unbreakable'])
  })
})
