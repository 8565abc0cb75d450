import { execFileSync } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { hostname, tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { crc32 } from 'node:zlib'
import sharp from 'sharp'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { crc32c, maskedCrc32c } from '../../lib/training/crc32c.js'
import { EventWriter } from '../../lib/training/tensorboard.js'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dpm-tensorboard-'))
})
afterEach(() => rm(folder, { recursive: true }))

type Field = bigint | Buffer
type Message = Map<number, Field[]>

/** A decoder that shares nothing with the writer: any protocol-buffer message, fields by number. */
function decode(bytes: Buffer): Message {
  const fields: Message = new Map()
  let at = 0
  const varint = (): bigint => {
    let value = 0n
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++] ?? 0
      value |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) return value
    }
  }
  const take = (length: number): Buffer => {
    at += length
    return bytes.subarray(at - length, at)
  }
  while (at < bytes.length) {
    const tag = Number(varint())
    const readers: Record<number, () => Field> = {
      0: varint,
      1: () => take(8),
      2: () => take(Number(varint())),
      5: () => take(4),
    }
    const field = readers[tag & 7]?.()
    if (field === undefined) throw new Error(`wire type ${tag & 7}`)
    fields.set(tag >> 3, [...(fields.get(tag >> 3) ?? []), field])
  }
  return fields
}

/** CRC-32C bit by bit, to check the table against. */
function slowCrc(bytes: Uint8Array): number {
  let crc = 0xffffffffn
  for (const byte of bytes) {
    crc ^= BigInt(byte)
    for (let bit = 0; bit < 8; bit++) crc = crc & 1n ? (crc >> 1n) ^ 0x82f63b78n : crc >> 1n
  }
  return Number(crc ^ 0xffffffffn)
}

function checkMasked(stored: number, bytes: Buffer): void {
  const unmasked = (stored - 0xa282ead8) >>> 0
  expect(((unmasked << 15) | (unmasked >>> 17)) >>> 0).toBe(slowCrc(bytes))
}

async function events(path: string): Promise<Message[]> {
  const file = await readFile(path)
  const found: Message[] = []
  for (let at = 0; at < file.length; ) {
    const length = Number(file.readBigUInt64LE(at))
    checkMasked(file.readUInt32LE(at + 8), file.subarray(at, at + 8))
    const body = file.subarray(at + 12, at + 12 + length)
    checkMasked(file.readUInt32LE(at + 12 + length), body)
    found.push(decode(body))
    at += length + 16
  }
  return found
}

function bytesIn(message: Message | undefined, field: number): Buffer {
  const bytes = message?.get(field)?.[0]
  if (!Buffer.isBuffer(bytes)) throw new Error(`no bytes in field ${field}`)
  return bytes
}

function inner(message: Message | undefined, field: number): Message {
  return decode(bytesIn(message, field))
}

const png = (channels: 3 | 4): Promise<Buffer> =>
  sharp({ create: { width: 5, height: 4, channels, background: 'red' } })
    .png()
    .toBuffer()

describe('CRC-32C', () => {
  test.each([
    ['32 zeros', Buffer.alloc(32), 0x8a9136aa],
    ['32 ones', Buffer.alloc(32, 0xff), 0x62a8ab43],
    ['0 … 31', Buffer.from(Array.from({ length: 32 }, (_, i) => i)), 0x46dd794e],
    ['31 … 0', Buffer.from(Array.from({ length: 32 }, (_, i) => 31 - i)), 0x113fdb5c],
    ['123456789', Buffer.from('123456789'), 0xe3069283],
    ['nothing', Buffer.alloc(0), 0],
  ])('of %s is the number of RFC 3720', (_, bytes, crc) => {
    expect(crc32c(bytes)).toBe(crc)
    expect(slowCrc(bytes)).toBe(crc)
  })

  test('is not the CRC of zip files, and its mask is undone by the decoder', () => {
    const bytes = Buffer.from('dpm')
    if (typeof crc32 === 'function') expect(crc32c(bytes)).not.toBe(crc32(bytes))
    checkMasked(maskedCrc32c(bytes), bytes)
  })
})

describe('an event file', () => {
  test('is named after second, host and process, and never shared', async () => {
    const now = (): number => 1_700_000_000_500
    const writers = [await EventWriter.create(folder, { now }), await EventWriter.create(folder, { now })]
    for (const writer of writers) await writer.close()
    const name = `events.out.tfevents.1700000000.${hostname()}.${process.pid}`
    expect((await readdir(folder)).sort()).toEqual([name, `${name}.1`])
    expect(basename(writers[0]?.path ?? '')).toBe(name)
  })

  test('holds its version, then scalars and images, each framed with its checksums', async () => {
    const image = await png(3)
    const writer = await EventWriter.create(folder, { now: () => 1_700_000_000_250 })
    writer.scalar('loss/train', 0.1, 300)
    writer.scalar('loss/train', Number.NaN, 2 ** 40 + 1)
    writer.image('samples', image, 5, 4, 301)
    await writer.close()
    const [version, first, second, third] = await events(writer.path)
    expect(bytesIn(version, 1).readDoubleLE()).toBe(1_700_000_000.25)
    expect(String(version?.get(3)?.[0])).toBe('brain.Event:2')
    expect(first?.get(2)).toEqual([300n])
    expect(second?.get(2)).toEqual([2n ** 40n + 1n])
    const value = inner(inner(first, 5), 1)
    expect(String(value.get(1)?.[0])).toBe('loss/train')
    expect(bytesIn(value, 2).readFloatLE()).toBe(Math.fround(0.1))
    expect(bytesIn(inner(inner(second, 5), 1), 2).readFloatLE()).toBeNaN()
    const picture = inner(inner(inner(third, 5), 1), 4)
    expect([1, 2, 3].map((field) => picture.get(field)?.[0])).toEqual([4n, 5n, 3n])
    expect(picture.get(4)?.[0]).toEqual(image)
  })

  test('of a run that goes on tells readers to forget the steps that come again', async () => {
    const writer = await EventWriter.create(folder, { resumeStep: 200 })
    await writer.close()
    const [, start] = await events(writer.path)
    expect(start?.get(2)).toEqual([201n])
    expect(inner(start, 7).get(1)).toEqual([1n])
  })

  test('is complete after a flush, and long ones are written without one', async () => {
    const writer = await EventWriter.create(folder)
    for (let step = 0; step < 20_000; step++) writer.scalar('loss', step, step)
    await writer.flush()
    const found = await events(writer.path)
    expect(found.slice(1).map((event) => event.get(2)?.[0])).toEqual(
      Array.from({ length: 20_000 }, (_, i) => BigInt(i)),
    )
    await writer.close()
  }, 30_000)

  test('refuses what is no PNG, a bad step and a folder that is not there', async () => {
    const writer = await EventWriter.create(folder)
    expect(() => writer.image('x', new Uint8Array(40), 1, 1, 0)).toThrow(/Expected a PNG file for `png`/)
    expect(() => writer.scalar('x', 1, 1.5)).toThrow(/for `step` but received 1.5/)
    await writer.close()
    await expect(EventWriter.create(join(folder, 'none'))).rejects.toMatchObject({ code: 'DPM_WRITE_FAILED' })
  })

  const python = process.env.DPM_TORCH_PYTHON
  test.skipIf(!python)(
    'is read by TensorBoard (skipped unless DPM_TORCH_PYTHON names a Python with tensorboard)',
    async () => {
      const clock = { at: 1_700_000_000_000 }
      const now = (): number => clock.at++
      const image = await png(4)
      const first = await EventWriter.create(folder, { now })
      for (const step of [10, 20, 30]) first.scalar('loss', step / 8, step)
      first.image('samples', image, 5, 4, 10)
      await first.close()
      clock.at += 10_000
      const second = await EventWriter.create(folder, { now, resumeStep: 20 })
      for (const step of [30, 40]) second.scalar('loss', -step / 8, step)
      await second.close()
      const script = [
        'import base64, json, sys',
        'from tensorboard.backend.event_processing.event_accumulator import EventAccumulator',
        'run = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0, "images": 0})',
        'run.Reload()',
        'scalars = [[e.step, e.value] for e in run.Scalars("loss")]',
        'images = [[e.step, e.width, e.height, base64.b64encode(e.encoded_image_string).decode()] for e in run.Images("samples")]',
        'print(json.dumps([scalars, images]))',
      ].join('\n')
      const output = execFileSync(python ?? '', ['-c', script, folder], {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      })
      const [scalars, images] = JSON.parse(output)
      expect(scalars).toEqual([
        [10, 1.25],
        [20, 2.5],
        [30, -3.75],
        [40, -5],
      ])
      expect(images).toEqual([[10, 5, 4, image.toString('base64')]])
    },
    60_000,
  )
})
