/**
 * What `torch.save` wrote before PyTorch 1.6, and still does when asked: five pickles (a magic number, a version, the
 * machine's byte order, the object, the keys of its storages), then each storage as its number of elements in 8 bytes and
 * the elements.
 *
 * Reference: torch/serialization.py (`_legacy_save`, `_legacy_load`).
 */
import type { FileHandle } from 'node:fs/promises'
import { DpmError, show } from '../../errors.js'
import { readFailure } from '../../files/file-failure.js'
import { openRegularFile } from '../../files/regular-file.js'
import { readPickle } from '../pickle/pickle-machine.js'
import { PickleDict, PickleList, type PickleValue, type TensorStorage } from '../pickle/pickle-values.js'
import { contentsOf, elementBytes, type StorageReader } from '../pickle/pickled-archive.js'
import { torchGlobal, torchStorage } from '../pickle/torch-globals.js'
import { legacyStart } from './file-kind.js'
import type { TensorArchive } from './tensor-archive.js'
import { maximumPickleBytes } from './torch-zip-archive.js'

/** What the second says. */
const formatVersion = 1001

/** @throws DpmError DPM_FILE_MISSING, DPM_FILE_INVALID */
export async function openTorchLegacy(path: string): Promise<TensorArchive> {
  const { file, sizeBytes: size } = await openRegularFile(path)
  try {
    const start = await readRange(file, path, 0, Math.min(size, maximumPickleBytes))
    const { root, storages, end } = readPickles(start, path)
    const places = await placesOf(file, path, storages, { start: end, size })
    const close = (): Promise<void> => file.close()
    const { tensors, values } = contentsOf(root, readerOf(file, path, places, size), end)
    return { path, format: 'PyTorch (before 1.6)', tensors, values, close, [Symbol.asyncDispose]: close }
  } catch (error) {
    await file.close()
    throw error
  }
}

interface Pickles {
  readonly root: PickleValue
  /** A storage of each key, in the order of the file. */
  readonly storages: readonly TensorStorage[]
  readonly end: number
}

function readPickles(bytes: Buffer, path: string): Pickles {
  const found = new Map<string, TensorStorage>()
  let end = legacyStart.length
  const next = (): PickleValue => {
    const result = readPickle(bytes, end, { global: torchGlobal, persistent }, path)
    end = result.end
    return result.value
  }
  const persistent = (id: PickleValue): PickleValue | undefined => {
    const storage = torchStorage(id)
    if (storage) found.set(storage.key, storage)
    return storage
  }
  const version = next()
  if (version !== formatVersion)
    throw invalid(path, `its version is ${show(version)}, and only ${formatVersion} is known`)
  const machine = next()
  if (!(machine instanceof PickleDict) || machine.entries.get('little_endian') !== true) {
    throw invalid(path, 'it is not from a little-endian machine')
  }
  const root = next()
  const keys = next()
  const storages = keys instanceof PickleList ? keys.items.map((key) => found.get(String(key))) : []
  if (!(keys instanceof PickleList) || storages.includes(undefined)) {
    throw invalid(path, 'its list of storages names some that no tensor has')
  }
  if (new Set(storages).size < storages.length) throw invalid(path, 'its list of storages names one twice')
  return { root, storages: storages as TensorStorage[], end }
}

interface Place {
  readonly start: number
  readonly bytes: number
}

async function placesOf(
  file: FileHandle,
  path: string,
  storages: readonly TensorStorage[],
  { start, size }: { readonly start: number; readonly size: number },
): Promise<ReadonlyMap<string, Place>> {
  const places = new Map<string, Place>()
  let at = start
  for (const { key, dtype } of storages) {
    const length = (await readRange(file, path, at, 8)).readBigInt64LE()
    const bytes = Number(length) * elementBytes(dtype)
    at += 8
    if (length < 0n || !(bytes <= size - at)) {
      throw invalid(path, `its storage ${show(key)} claims ${length} elements, and ${size - at} bytes are left`)
    }
    places.set(key, { start: at, bytes })
    at += bytes
  }
  return places
}

function readerOf(
  file: FileHandle,
  path: string,
  places: ReadonlyMap<string, Place>,
  sizeBytes: number,
): StorageReader {
  return {
    path,
    sizeBytes,
    bytesOf: ({ key }) => places.get(key)?.bytes,
    read({ key, dtype, offset }, begin, end) {
      const start = (places.get(key)?.start ?? 0) + offset * elementBytes(dtype)
      return readRange(file, path, start + begin, end - begin)
    },
  }
}

async function readRange(file: FileHandle, path: string, start: number, length: number): Promise<Buffer<ArrayBuffer>> {
  const bytes = Buffer.alloc(length)
  for (let done = 0; done < length; ) {
    const { bytesRead } = await file
      .read(bytes, done, Math.min(chunkBytes, length - done), start + done)
      .catch((error: unknown) => {
        throw readFailure(path, error)
      })
    if (bytesRead === 0) throw invalid(path, `it ends at byte ${start + done}, before ${start + length}`)
    done += bytesRead
  }
  return bytes
}

/** One read call takes at most this much; Node itself stops below 2 GiB. */
const chunkBytes = 16 * 1024 * 1024

function invalid(path: string, reason: string): DpmError {
  return new DpmError(
    'DPM_FILE_INVALID',
    `${JSON.stringify(path)} cannot be read as a file of PyTorch: ${reason}. It is truncated or corrupt; use another copy of it.`,
    { details: { path } },
  )
}
