/**
 * Python's pickle, read as data. A pickle is a program for a stack machine that can call whatever it names; this machine
 * has the instructions that `torch.save` writes (protocol 2) and no others, knows no name but those it is given, and calls
 * nothing: a known name builds a value of ours.
 *
 * Memory is bounded by the pickle's own length: every instruction makes at most one value, sizes are held to the bytes
 * that are left, what is copied is charged to one budget, and the number of instructions is limited.
 *
 * Reference: CPython, Lib/pickletools.py (opcodes); torch/_weights_only_unpickler.py has the same subset.
 */
import { DpmError, show } from '../../errors.js'
import { entryBytes, PickleBudget } from './pickle-budget.js'
import { PickleDict, PickleGlobal, PickleList, PickleObject, PickleTuple, type PickleValue } from './pickle-values.js'

/** What a pickle may refer to. */
export interface PickleWorld {
  /** What a name stands for, `torch._utils._rebuild_tensor_v2`; undefined for one that is not allowed. */
  global(name: string): PickleValue | undefined
  /** What a persistent id stands for (a storage); undefined for one that makes no sense. */
  persistent(id: PickleValue): PickleValue | undefined
}

export interface PickleResult {
  readonly value: PickleValue
  /** Where the next byte after it is. */
  readonly end: number
}

/** Far more than the weights and the optimizer of any network take. */
const maximumInstructions = 2_000_000
const maximumNameLength = 256

/**
 * Reads the pickle that begins at a byte.
 * @param path for messages.
 * @throws DpmError DPM_FILE_INVALID naming the instruction or global, and its position
 */
export function readPickle(bytes: Buffer, start: number, world: PickleWorld, path: string): PickleResult {
  return new PickleMachine(bytes, start, world, path).run()
}

type Item = PickleValue | typeof mark

const emptyTuple = new PickleTuple([])

/** Where a tuple, or a run of items, began. */
const mark = Symbol('mark')

class PickleMachine {
  readonly #bytes: Buffer
  readonly #world: PickleWorld
  readonly #path: string
  readonly #stack: Item[] = []
  readonly #memo = new Map<number, PickleValue>()
  readonly #budget: PickleBudget
  #at: number
  /** Position of the instruction at hand. */
  #position: number

  constructor(bytes: Buffer, start: number, world: PickleWorld, path: string) {
    this.#bytes = bytes
    this.#world = world
    this.#path = path
    this.#at = start
    this.#position = start
    this.#budget = new PickleBudget(
      () => this.#at - start,
      (reason) => this.#fault(reason),
    )
  }

  run(): PickleResult {
    for (let count = 0; count < maximumInstructions; count++) {
      this.#position = this.#at
      const code = this.#unsigned(1)
      if (code === stop) {
        const value = this.#pop()
        if (this.#stack.length > 0) throw this.#fault('it ends with values left over')
        return { value, end: this.#at }
      }
      const instruction = this.#instructions.get(code)
      if (!instruction) {
        const name = `0x${code.toString(16).padStart(2, '0')}`
        throw this.#fault(`it has the instruction ${name}, which torch.save does not write`)
      }
      instruction()
    }
    throw this.#fault(`it has more than ${maximumInstructions} instructions`)
  }

  readonly #instructions: ReadonlyMap<number, () => void> = new Map<number, () => void>([
    [0x80, () => this.#protocol()],
    [code('N'), () => this.#push(null)],
    [0x88, () => this.#push(true)],
    [0x89, () => this.#push(false)],
    [code('K'), () => this.#push(this.#unsigned(1))],
    [code('M'), () => this.#push(this.#unsigned(2))],
    [code('J'), () => this.#push(this.#take(4).readInt32LE())],
    [code('G'), () => this.#push(this.#take(8).readDoubleBE())],
    [0x8a, () => this.#push(wholeNumber(this.#take(this.#unsigned(1))))],
    [code('X'), () => this.#push(this.#take(this.#unsigned(4)).toString('utf8'))],
    // Byte strings of Python 2, whose state dicts have these for names.
    [code('U'), () => this.#push(this.#take(this.#unsigned(1)).toString('latin1'))],
    [code('T'), () => this.#push(this.#take(this.#unsigned(4)).toString('latin1'))],
    [code(']'), () => this.#push(new PickleList())],
    [code('}'), () => this.#push(new PickleDict())],
    [code(')'), () => this.#push(emptyTuple)],
    [code('('), () => this.#stack.push(mark)],
    [code('t'), () => this.#push(new PickleTuple(this.#popToMark()))],
    [0x85, () => this.#push(this.#tuple(1))],
    [0x86, () => this.#push(this.#tuple(2))],
    [0x87, () => this.#push(this.#tuple(3))],
    [code('q'), () => this.#remember(this.#unsigned(1))],
    [code('r'), () => this.#remember(this.#unsigned(4))],
    [code('h'), () => this.#recall(this.#unsigned(1))],
    [code('j'), () => this.#recall(this.#unsigned(4))],
    [code('a'), () => this.#append([this.#pop()])],
    [code('e'), () => this.#append(this.#popToMark())],
    [code('s'), () => this.#setItems(this.#tuple(2).items)],
    [code('u'), () => this.#setItems(this.#popToMark())],
    [code('c'), () => this.#global()],
    [code('R'), () => this.#build('called')],
    [0x81, () => this.#build('made')],
    [code('b'), () => this.#setState()],
    [code('Q'), () => this.#persistent()],
  ])

  #protocol(): void {
    const protocol = this.#unsigned(1)
    if (protocol === 2) return
    throw this.#fault(
      `it is of protocol ${protocol}, and torch.save writes protocol 2 unless told otherwise`,
      'Save it again with pickle_protocol=2.',
    )
  }

  #global(): void {
    const name = `${this.#line()}.${this.#line()}`
    const value = this.#world.global(name)
    if (value === undefined) {
      throw this.#fault(
        `it names ${show(name)}, which is not among what weights are made of. Nothing of it was run`,
        'If you trust the file, load it in Python and save its state_dict() alone.',
        name,
      )
    }
    this.#push(value)
  }

  #build(how: string): void {
    const args = this.#pop()
    const called = this.#pop()
    if (!(called instanceof PickleGlobal) || !(args instanceof PickleTuple)) {
      throw this.#fault(`something is ${how} that is not a name with its arguments`)
    }
    const value = called.build(args.items, this.#budget)
    if (value === undefined) throw this.#fault(`${called.name} is ${how} with arguments that it does not take`)
    this.#push(value)
  }

  /** State of dictionaries and tensors is what Python keeps beside their contents (`_metadata`): it is left out. */
  #setState(): void {
    const state = this.#pop()
    const object = this.#pop()
    if (!(object instanceof PickleObject)) {
      if (!(object instanceof PickleDict)) throw this.#fault('something gets a state that has none')
      this.#push(object)
      return
    }
    const dict = state instanceof PickleTuple ? state.items[0] : state
    if (object.setState) {
      if (!object.setState(state, this.#budget)) throw this.#fault(`${object.type} gets a state that it does not take`)
    } else if (dict instanceof PickleDict) {
      this.#budget.charge(entryBytes * dict.size)
      for (const [name, value] of dict.entries) object.attributes.entries.set(name, value)
    } else throw this.#fault(`${object.type} gets a state that is no dictionary`)
    this.#push(object)
  }

  #persistent(): void {
    const value = this.#world.persistent(this.#pop())
    if (value === undefined) throw this.#fault('it refers to something that is not a storage of elements')
    this.#push(value)
  }

  #append(items: readonly PickleValue[]): void {
    const list = this.#pop()
    if (!(list instanceof PickleList)) throw this.#fault('something is appended to what is not a list')
    for (const item of items) list.items.push(item)
    this.#push(list)
  }

  #setItems(items: readonly PickleValue[]): void {
    const dict = this.#pop()
    if (!(dict instanceof PickleDict) || items.length % 2 !== 0) {
      throw this.#fault('names and values are given to what is not a dictionary')
    }
    for (let index = 0; index < items.length; index += 2) {
      dict.entries.set(items[index] ?? null, items[index + 1] ?? null)
    }
    this.#push(dict)
  }

  #remember(key: number): void {
    const top = this.#stack.at(-1)
    if (top === undefined || top === mark) throw this.#fault('it remembers a value that is not there')
    this.#memo.set(key, top)
  }

  #recall(key: number): void {
    const value = this.#memo.get(key)
    if (value === undefined) throw this.#fault(`it recalls value ${key}, which it has not remembered`)
    this.#push(value)
  }

  #push(value: PickleValue): void {
    this.#stack.push(value)
  }

  #pop(): PickleValue {
    const value = this.#stack.pop()
    if (value === undefined || value === mark) throw this.#fault('it takes a value that is not there')
    return value
  }

  #tuple(length: number): PickleTuple {
    return new PickleTuple(Array.from({ length }, () => this.#pop()).reverse())
  }

  #popToMark(): PickleValue[] {
    const at = this.#stack.lastIndexOf(mark)
    if (at < 0) throw this.#fault('it ends a run of values that has no beginning')
    return this.#stack.splice(at).slice(1) as PickleValue[]
  }

  #unsigned(length: 1 | 2 | 4): number {
    return this.#take(length).readUIntLE(0, length)
  }

  #take(length: number): Buffer {
    const end = this.#at + length
    if (end > this.#bytes.length) throw this.#fault(`it ends at byte ${this.#bytes.length}, in the middle of a value`)
    const taken = this.#bytes.subarray(this.#at, end)
    this.#at = end
    return taken
  }

  #line(): string {
    const end = this.#bytes.indexOf(0x0a, this.#at)
    if (end < 0 || end - this.#at > maximumNameLength) throw this.#fault('it has a name without an end')
    const line = this.#bytes.toString('utf8', this.#at, end)
    this.#at = end + 1
    return line
  }

  #fault(
    reason: string,
    cure = 'It is truncated, corrupt or of another kind; use another copy of it.',
    global?: string,
  ): DpmError {
    return new DpmError(
      'DPM_FILE_INVALID',
      `The pickle in ${JSON.stringify(this.#path)} cannot be read: at byte ${this.#position} ${reason}. ${cure}`,
      { details: { path: this.#path, position: this.#position, ...(global === undefined ? {} : { global }) } },
    )
  }
}

function code(character: string): number {
  return character.charCodeAt(0)
}

const stop = code('.')

/** Two's complement, little-endian; a number where it is exact, else a bigint. At most 255 bytes. */
function wholeNumber(bytes: Buffer): number | bigint {
  if (bytes.length === 0) return 0
  const digits = Buffer.from(bytes).reverse().toString('hex')
  const value = BigInt.asIntN(8 * bytes.length, BigInt(`0x${digits}`))
  return Number.isSafeInteger(Number(value)) ? Number(value) : value
}
