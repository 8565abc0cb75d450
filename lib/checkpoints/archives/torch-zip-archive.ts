/**
 * What `torch.save` writes since PyTorch 1.6: a zip, nothing in it compressed, of `NAME/data.pkl` and one file for each
 * storage, `NAME/data/KEY`. `NAME/byteorder` says how numbers are laid out.
 *
 * Reference: torch/serialization.py (`_save`, `_load`).
 */
import { PassThrough } from 'node:stream'
import { DpmError } from '../../errors.js'
import { openZip, type ZipArchive, type ZipEntry } from '../../files/zip-archive.js'
import { show } from '../../show.js'
import { readPickle } from '../pickle/pickle-machine.js'
import type { TensorStorage } from '../pickle/pickle-values.js'
import { contentsOf, elementBytes, type StorageReader } from '../pickle/pickled-archive.js'
import { torchGlobal, torchStorage } from '../pickle/torch-globals.js'
import type { TensorArchive } from './tensor-archive.js'

/** Far more than the description of any network takes; its weights are elsewhere. */
export const maximumPickleBytes = 32_000_000

/** @throws DpmError DPM_FILE_MISSING, DPM_FILE_INVALID */
export async function openTorchZip(path: string): Promise<TensorArchive> {
  const zip = await openZip(path)
  try {
    const records = recordsOf(zip)
    await requireLittleEndian(zip, records.get('byteorder'))
    const storages = new ZipStorages(zip, records, zip.sizeBytes)
    const pickle = await readWhole(zip, requireRecord(zip, records, 'data.pkl'), maximumPickleBytes)
    const { value } = readPickle(pickle, 0, { global: torchGlobal, persistent: torchStorage }, path)
    const close = (): Promise<void> => zip.close()
    const { tensors, values } = contentsOf(value, storages, pickle.length)
    return { path, format: 'PyTorch', tensors, values, close, [Symbol.asyncDispose]: close }
  } catch (error) {
    await zip.close()
    throw error
  }
}

/** The archive's files by their names without the folder that all of them are in. */
function recordsOf(zip: ZipArchive): ReadonlyMap<string, ZipEntry> {
  const pickles = zip.entries.filter(({ path }) => /^[^/]+\/data\.pkl$/.test(path))
  const folder = pickles[0]?.path.slice(0, -'data.pkl'.length)
  if (folder === undefined || pickles.length > 1) {
    throw invalid(
      zip.path,
      folder === undefined ? `it has no data.pkl${otherZip(zip)}` : 'it has more than one data.pkl',
    )
  }
  const inside = zip.entries.filter(({ path }) => path.startsWith(folder))
  const records = new Map(inside.map((entry) => [entry.path.slice(folder.length), entry]))
  if (records.has('constants.pkl')) {
    throw new DpmError(
      'DPM_FILE_INVALID',
      `${JSON.stringify(zip.path)} is a TorchScript module, which is code with weights, and not weights alone. ` +
        'Open it with `Network.fromTorchScript`, or save its state_dict() with torch.save.',
      { details: { path: zip.path } },
    )
  }
  return records
}

/** Other programs pack in zips too. */
const otherZips: readonly (readonly [RegExp, string])[] = [
  [/\.npy$/, "an .npz of NumPy's; load it in Python with numpy.load, and save its weights with torch.save"],
  [/\.weights\.h5$/, 'a model of Keras; load it in Python with Keras, and save its weights with torch.save'],
  [/\.(?:pt|pth|ckpt|bin|safetensors)$/, 'a zip of files of weights; unpack it, and give one of these'],
  [/^\[Content_Types\]\.xml$/, 'a document of an office program'],
]

function otherZip({ entries }: ZipArchive): string {
  const found = otherZips.find(([pattern]) => entries.some(({ path }) => pattern.test(path)))
  if (found) return `: it is ${found[1]}`
  return entries.length === 0
    ? ': it is an empty zip'
    : `, but ${entries
        .slice(0, 4)
        .map(({ path }) => show(path))
        .join(', ')}`
}

function requireRecord(zip: ZipArchive, records: ReadonlyMap<string, ZipEntry>, name: string): ZipEntry {
  const entry = records.get(name)
  if (!entry) throw invalid(zip.path, `it has no ${name}`)
  return entry
}

async function readWhole(zip: ZipArchive, entry: ZipEntry, most: number): Promise<Buffer> {
  requireStored(zip, entry)
  if (entry.sizeBytes > most) throw invalid(zip.path, `${entry.path} has ${entry.sizeBytes} bytes, more than ${most}`)
  return zip.read(entry)
}

/** Files from before this was recorded are from machines of today's kind. */
async function requireLittleEndian(zip: ZipArchive, entry: ZipEntry | undefined): Promise<void> {
  if (!entry) return
  const order = (await readWhole(zip, entry, 16)).toString('latin1').trim()
  if (order !== 'little')
    throw invalid(zip.path, `its byte order is ${JSON.stringify(order)}, and only "little" is read`)
}

/** Then no entry is larger than the file: there is no zip bomb. */
function requireStored(zip: ZipArchive, entry: ZipEntry): void {
  if (entry.method === 'stored') return
  throw invalid(zip.path, `${entry.path} is compressed, which torch.save does not do; pack it again with \`zip -0\``)
}

class ZipStorages implements StorageReader {
  readonly path: string
  readonly sizeBytes: number
  readonly #zip: ZipArchive
  readonly #records: ReadonlyMap<string, ZipEntry>
  /** Entries whose checksum has been found right, or is being looked at. */
  readonly #checked = new Map<ZipEntry, Promise<void>>()

  constructor(zip: ZipArchive, records: ReadonlyMap<string, ZipEntry>, sizeBytes: number) {
    this.path = zip.path
    this.sizeBytes = sizeBytes
    this.#zip = zip
    this.#records = records
  }

  bytesOf({ key }: { readonly key: string }): number | undefined {
    const entry = this.#records.get(`data/${key}`)
    if (entry) requireStored(this.#zip, entry)
    return entry?.sizeBytes
  }

  async read(storage: TensorStorage, begin: number, end: number): Promise<Uint8Array<ArrayBuffer>> {
    const entry = requireRecord(this.#zip, this.#records, `data/${storage.key}`)
    const start = storage.offset * elementBytes(storage.dtype) + begin
    if (start === 0 && end - begin === entry.sizeBytes) return this.#zip.read(entry)
    await this.#check(entry)
    return this.#zip.readRange(entry, start, end - begin)
  }

  /** Many tensors may be parts of one storage, which is read in full for its checksum once. */
  #check(entry: ZipEntry): Promise<void> {
    const known = this.#checked.get(entry)
    if (known) return known
    const checked = this.#zip.extract(entry, new PassThrough().resume())
    this.#checked.set(entry, checked)
    return checked
  }
}

function invalid(path: string, reason: string): DpmError {
  return new DpmError('DPM_FILE_INVALID', `${JSON.stringify(path)} cannot be read as a file of PyTorch: ${reason}.`, {
    details: { path },
  })
}
