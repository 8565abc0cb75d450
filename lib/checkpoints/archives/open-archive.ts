/** Opens a file of weights by what it begins with; its name says nothing about it. */
import { DpmError } from '../../errors.js'
import { readFailure } from '../../files/file-failure.js'
import { openRegularFile } from '../../files/regular-file.js'
import { openSafetensorsArchive } from './safetensors-archive.js'
import type { TensorArchive } from './tensor-archive.js'
import { legacyStart, openTorchLegacy } from './torch-legacy-archive.js'
import { openTorchZip } from './torch-zip-archive.js'

interface ArchiveFormat {
  readonly name: string
  /** @param start the file's first 16 bytes, fewer where it is shorter. */
  recognises(start: Buffer): boolean
  open(path: string): Promise<TensorArchive>
}

/** Every format. A new one is a file beside this one and an entry here. */
const formats: readonly ArchiveFormat[] = [
  {
    name: 'PyTorch (.pt, .pth, .bin)',
    recognises: (start) => start.toString('latin1', 0, 4) === 'PK\x03\x04',
    open: openTorchZip,
  },
  {
    name: 'PyTorch before 1.6',
    recognises: (start) => start.subarray(0, legacyStart.length).equals(legacyStart),
    open: openTorchLegacy,
  },
  {
    name: 'safetensors',
    // The header's length, of which the format allows 100 MB, and its opening brace; also a length beyond that, so
    // that the error says so.
    recognises: (start) => start.length >= 9 && start[8] === 0x7b,
    open: openSafetensorsArchive,
  },
]

/** @throws DpmError DPM_FILE_MISSING, DPM_FILE_INVALID */
export async function openArchive(path: string): Promise<TensorArchive> {
  const start = await firstBytes(path)
  const format = formats.find((one) => one.recognises(start))
  if (format) return format.open(path)
  if (isPickle(start)) {
    throw new DpmError(
      'DPM_FILE_INVALID',
      `${JSON.stringify(path)} is a bare pickle. Those of NVIDIA's networks (.pkl) hold the program of the network itself, and ` +
        'dpm-torch runs no program that it reads. Where you trust it, keep its weights alone, in Python: ' +
        "torch.save(pickle.load(open('network.pkl', 'rb'))['ema'].state_dict(), 'weights.pt').",
      { details: { path } },
    )
  }
  throw new DpmError(
    'DPM_FILE_INVALID',
    `${JSON.stringify(path)} is no file of weights that dpm-torch can read: it begins with ${describe(start)}. It reads ` +
      `${formats.map(({ name }) => name).join(', ')}.`,
    { details: { path } },
  )
}

/** Protocols 2 to 5 begin with their number; that of PyTorch's older files is one too, and known by more than that. */
function isPickle(start: Buffer): boolean {
  return start[0] === 0x80 && start[1] !== undefined && start[1] >= 2 && start[1] <= 5
}

async function firstBytes(path: string): Promise<Buffer> {
  const { file } = await openRegularFile(path)
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(16), 0, 16, 0)
    return buffer.subarray(0, bytesRead)
  } catch (error) {
    throw readFailure(path, error)
  } finally {
    await file.close()
  }
}

function describe(start: Buffer): string {
  if (start.length === 0) return 'nothing, it is empty'
  return `the bytes ${start.toString('hex').replace(/(..)(?=.)/g, '$1 ')}`
}
