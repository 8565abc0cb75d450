/** Zips that another writer would not write. */
import { crc32, deflateRawSync } from 'node:zlib'

interface Crafted {
  readonly name: string
  readonly data: Buffer
  readonly declaredSize?: number
  readonly declaredCrc32?: number
  /** Sizes and offset in 64-bit fields, as archives beyond 4 GB have them. */
  readonly wide?: boolean
  readonly flags?: number
  readonly unixMode?: number
}

/** A zip written field by field, so that it can lie. */
export function craft(entries: readonly Crafted[], wideEnd = false): Buffer {
  const parts: Buffer[] = []
  const central: Buffer[] = []
  let offset = 0
  for (const {
    name,
    data,
    declaredSize = data.length,
    declaredCrc32 = crc32(data),
    wide = false,
    flags = 0,
    unixMode = 0,
  } of entries) {
    const body = deflateRawSync(data)
    const path = Buffer.from(name)
    const local = Buffer.alloc(30)
    local.writeUInt32LE(0x04034b50, 0)
    local.writeUInt16LE(8, 8)
    local.writeUInt16LE(path.length, 26)
    parts.push(local, path, body)
    const header = Buffer.alloc(46)
    const extra = Buffer.alloc(wide ? 28 : 0)
    header.writeUInt32LE(0x02014b50, 0)
    header.writeUInt16LE(3 << 8, 4)
    header.writeUInt16LE(flags, 8)
    header.writeUInt16LE(8, 10)
    header.writeUInt32LE(declaredCrc32, 16)
    header.writeUInt32LE(wide ? 0xffffffff : body.length, 20)
    header.writeUInt32LE(wide ? 0xffffffff : declaredSize, 24)
    header.writeUInt16LE(path.length, 28)
    header.writeUInt16LE(extra.length, 30)
    header.writeUInt32LE((unixMode << 16) >>> 0, 38)
    header.writeUInt32LE(wide ? 0xffffffff : offset, 42)
    if (wide) {
      extra.writeUInt16LE(1, 0)
      extra.writeUInt16LE(24, 2)
      for (const [index, value] of [declaredSize, body.length, offset].entries())
        extra.writeBigUInt64LE(BigInt(value), 4 + 8 * index)
    }
    central.push(header, path, extra)
    offset += 30 + path.length + body.length
  }
  const directory = Buffer.concat(central)
  const end64 = Buffer.alloc(wideEnd ? 76 : 0)
  if (wideEnd) {
    end64.writeUInt32LE(0x06064b50, 0)
    end64.writeBigUInt64LE(BigInt(entries.length), 32)
    end64.writeBigUInt64LE(BigInt(directory.length), 40)
    end64.writeBigUInt64LE(BigInt(offset), 48)
    end64.writeUInt32LE(0x07064b50, 56)
    end64.writeBigUInt64LE(BigInt(offset + directory.length), 64)
  }
  const end = Buffer.alloc(22)
  end.writeUInt32LE(0x06054b50, 0)
  for (const at of [8, 10]) end.writeUInt16LE(wideEnd ? 0xffff : entries.length, at)
  end.writeUInt32LE(wideEnd ? 0xffffffff : directory.length, 12)
  end.writeUInt32LE(wideEnd ? 0xffffffff : offset, 16)
  return Buffer.concat([...parts, directory, end64, end])
}
