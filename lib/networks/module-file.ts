/**
 * What is looked at in a TorchScript file before libtorch is handed it: that it is a zip whose sizes fit its length and whose
 * bytes have their checksums. libtorch's own reader believes the sizes (2 KB made it ask for 4 GB) and checks no sums.
 * It says nothing of what the module does: that is a program's own affair.
 */
import type { FileHandle } from 'node:fs/promises'
import { DpmError } from '../errors.js'
import { openRegularFile } from '../files/regular-file.js'
import { dataOffset, readAt, readDirectory, type ZipEntry } from '../files/zip-directory.js'

/** Code is text, which may shrink a lot; more than this is no code. Weights are stored as they are. */
const largestCodeRatio = 100
const codeAllowance = 1 << 20
const blockBytes = 1 << 20

/**
 * @returns the SHA-256 of the file, in hexadecimal.
 * @throws DpmError DPM_FILE_MISSING; DPM_FILE_INVALID for what is no module, or is damaged.
 */
export async function checkModuleFile(path: string): Promise<string> {
  let file: FileHandle | undefined
  try {
    const opened = await openRegularFile(path, 'TorchScript module')
    file = opened.file
    const size = opened.sizeBytes
    const entries = await readDirectory(file, path, size)
    requireModule(entries)
    for (const entry of entries) await checkEntry(file, path, entry)
    return await digest(file, path, size)
  } catch (error) {
    if (!(error instanceof DpmError) || error.code !== 'DPM_FILE_INVALID') throw error
    throw new DpmError('DPM_FILE_INVALID', `${path} is no TorchScript module (torch.jit.save): ${error.message}`, {
      cause: error,
      details: { path },
    })
  } finally {
    await file?.close()
  }
}

function requireModule(entries: readonly ZipEntry[]): void {
  if (!entries.some(({ path }) => /^[^/]+\/(data\.pkl|model\.json)$/.test(path))) {
    throw new DpmError('DPM_FILE_INVALID', 'it is a zip archive of something else.')
  }
  if (!entries.some(({ path }) => /^[^/]+\/(constants\.pkl|model\.json)$/.test(path))) {
    throw new DpmError('DPM_FILE_INVALID', 'it holds weights alone (torch.save), which `dpm-torch import` may know.')
  }
  const deflated = entries.filter(({ method }) => method === 'deflated')
  const [small, large] = (['compressedBytes', 'sizeBytes'] as const).map((size) =>
    deflated.reduce((sum, entry) => sum + entry[size], 0),
  ) as [number, number]
  if (large > codeAllowance + largestCodeRatio * small) {
    throw new DpmError('DPM_FILE_INVALID', `its code claims to inflate from ${small} to ${large} bytes.`)
  }
}

async function checkEntry(file: FileHandle, path: string, entry: ZipEntry): Promise<void> {
  const { crc32, inflateRaw } = process.getBuiltinModule('node:zlib')
  const start = await dataOffset(file, path, entry)
  let sum = 0
  if (entry.method === 'stored') {
    for (let at = 0; at < entry.sizeBytes; at += blockBytes) {
      sum = crc32(await readAt(file, path, start + at, Math.min(blockBytes, entry.sizeBytes - at)), sum)
    }
  } else {
    const raw = await readAt(file, path, start, entry.compressedBytes)
    const whole = await new Promise<Buffer>((resolve, reject) => {
      inflateRaw(raw, { maxOutputLength: Math.max(1, entry.sizeBytes) }, (error, bytes) => {
        if (error) reject(new DpmError('DPM_FILE_INVALID', `${entry.path} in it is damaged: ${error.message}.`))
        else resolve(bytes)
      })
    })
    sum = crc32(whole)
  }
  if (sum !== entry.crc32) {
    throw new DpmError('DPM_FILE_INVALID', `${entry.path} in it does not have its checksum: the file is damaged.`)
  }
}

async function digest(file: FileHandle, path: string, size: number): Promise<string> {
  const hash = process.getBuiltinModule('node:crypto').createHash('sha256')
  for (let at = 0; at < size; at += blockBytes) {
    hash.update(await readAt(file, path, at, Math.min(blockBytes, size - at)))
  }
  return hash.digest('hex')
}
