/**
 * Names of files as the system has them: bytes, which need not be UTF-8 (an archive from another system, an old disk). Such a
 * name has two forms: the bytes, which open the file, and a text that people can read.
 */

export interface RawPath {
  /** With `\xE9` for a byte that is not UTF-8. */
  readonly text: string
  /** What opens the file: the text itself where it is that. */
  readonly bytes: string | Buffer
}

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

export function rawName(bytes: Buffer): RawPath {
  const text = decoded(bytes)
  return text === undefined ? { text: escaped(bytes), bytes } : { text, bytes: text }
}

/** `folder/name`; the folder may be empty. */
export function joinRaw(folder: RawPath, name: RawPath): RawPath {
  if (folder.bytes.length === 0) return name
  const text = `${folder.text}/${name.text}`
  if (typeof folder.bytes === 'string' && typeof name.bytes === 'string') return { text, bytes: text }
  return { text, bytes: Buffer.concat([Buffer.from(folder.bytes), Buffer.from('/'), Buffer.from(name.bytes)]) }
}

function decoded(bytes: Uint8Array): string | undefined {
  try {
    return strict.decode(bytes)
  } catch {
    return undefined
  }
}

function escaped(bytes: Buffer): string {
  let text = ''
  for (let at = 0; at < bytes.length; ) {
    let length = Math.min(4, bytes.length - at)
    let part: string | undefined
    // The shortest beginning that is UTF-8 is one character.
    for (let size = 1; size <= length && part === undefined; size++) {
      part = decoded(bytes.subarray(at, at + size))
      if (part !== undefined) length = size
    }
    if (part === undefined) {
      text += `\\x${(bytes[at] ?? 0).toString(16).toUpperCase().padStart(2, '0')}`
      at += 1
    } else {
      text += part
      at += length
    }
  }
  return text
}
