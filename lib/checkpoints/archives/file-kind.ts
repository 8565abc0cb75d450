/**
 * What a file is that is no file of weights, by its first bytes: what people give by mistake, or what a download left in its
 * place. Each with what to do about it.
 */
import { show } from '../../errors.js'

export interface FileKind {
  /** As a person would say it, after "it is". */
  readonly name: string
  readonly cure: string
}

interface Signature extends FileKind {
  recognises(start: Buffer): boolean
}

/** So many bytes are looked at; the mark of a tar stands at 257. */
export const startBytes = 512

const starts =
  (...signatures: readonly string[]) =>
  (start: Buffer): boolean =>
    signatures.some((one) => start.toString('latin1', 0, one.length) === one)

/** Past a byte order mark and blanks, in small letters. */
const says =
  (...words: readonly string[]) =>
  (start: Buffer): boolean => {
    const text = start
      .toString('latin1')
      .replace(/^(?:\xef\xbb\xbf)?\s*/, '')
      .toLowerCase()
    return words.some((word) => text.startsWith(word))
  }

const unpack = 'Unpack it, and give the file of weights that is in it.'
const inPython = (what: string): string =>
  `Load it in Python with ${what}, and save its weights as safetensors, or with torch.save.`

/** The first that recognises a file names it: what is special stands before what is general. */
const kinds: readonly Signature[] = [
  {
    name: 'empty',
    cure: 'A download or a copy of it was broken off; get it again.',
    recognises: (start) => start.length === 0,
  },
  {
    name: 'a pointer of Git LFS, not the file itself',
    cure: 'Run `git lfs install` and `git lfs pull` in its repository, or download the file from its page.',
    recognises: says('version https://git-lfs', 'version https://hawser'),
  },
  {
    name: 'a web page (HTML)',
    cure: 'The address leads to a page about the file, or asks to log in; download the file itself ("resolve" in place of "blob", or "raw").',
    recognises: says('<!doctype html', '<html', '<head', '<body', '<script', '<!--'),
  },
  {
    name: 'an XML text',
    cure: 'It may be the error of a server; read it, and download the file again.',
    recognises: says('<?xml', '<error', '<svg'),
  },
  {
    name: 'a JSON text',
    cure: 'It may be a configuration (then give its folder) or the error of a server; read it.',
    recognises: says('{', '['),
  },
  { name: 'gzip-compressed', cure: 'Unpack it with gunzip or `tar xf`.', recognises: starts('\x1f\x8b') },
  { name: 'compressed (bzip2)', cure: 'Unpack it with bunzip2 or `tar xf`.', recognises: starts('BZh') },
  { name: 'compressed (xz)', cure: 'Unpack it with unxz or `tar xf`.', recognises: starts('\xfd7zXZ\x00') },
  { name: 'compressed (Zstandard)', cure: 'Unpack it with unzstd.', recognises: starts('\x28\xb5\x2f\xfd') },
  { name: 'a 7-Zip archive', cure: unpack, recognises: starts("7z\xbc\xaf'\x1c") },
  { name: 'a RAR archive', cure: unpack, recognises: starts('Rar!') },
  {
    name: 'a tar archive',
    cure: 'Unpack it with `tar xf`; what torch.save wrote before PyTorch 0.1.10 must be loaded and saved again in Python.',
    recognises: (start) => start.toString('latin1', 257, 262) === 'ustar',
  },
  {
    name: 'a zip without files',
    cure: 'A download or a copy of it was broken off; get it again.',
    recognises: starts('PK\x05\x06', 'PK\x07\x08'),
  },
  {
    name: 'an HDF5 file, as Keras writes (.h5)',
    cure: inPython('h5py or Keras'),
    recognises: starts('\x89HDF\r\n\x1a\n'),
  },
  {
    name: 'a GGUF file of llama.cpp',
    cure: 'Quantised weights are not read; get the same model as safetensors.',
    recognises: starts('GGUF', 'ggml', 'ggjt', 'lmgg', 'tjgg'),
  },
  { name: "an array of NumPy's (.npy)", cure: inPython('numpy.load'), recognises: starts('\x93NUMPY') },
  {
    name: 'an ONNX model',
    cure: 'It holds a program with weights; get the weights that it was exported from.',
    recognises: (start) => start[0] === 0x08 && (start[1] ?? 255) < 32 && (start[2] === 0x12 || start[2] === 0x1a),
  },
  {
    name: "a model of TensorFlow's (SavedModel or Lite)",
    cure: inPython('TensorFlow'),
    recognises: (start) => start.toString('latin1', 4, 8) === 'TFL3' || (start[0] === 0x08 && start[1] === 0x01),
  },
  {
    name: 'a picture',
    cure: 'Give the file of weights.',
    recognises: starts('\x89PNG', '\xff\xd8\xff', 'GIF8', 'II*\x00', 'MM\x00*', 'BM'),
  },
  { name: 'a PDF', cure: 'Give the file of weights.', recognises: starts('%PDF') },
  {
    name: 'a bare pickle',
    cure:
      "Those of NVIDIA's networks (.pkl) hold the program of the network itself, and dpm-torch runs no program that it reads. " +
      "Where you trust it, keep its weights alone, in Python: torch.save(pickle.load(open('network.pkl', 'rb'))['ema'].state_dict(), 'weights.pt').",
    // Protocols 2 to 5 begin with their number; that of PyTorch's older files is one too, and known by more than that.
    recognises: (start) => start[0] === 0x80 && start[1] !== undefined && start[1] >= 2 && start[1] <= 5,
  },
  {
    name: 'nothing but zeros',
    cure: 'A download or a copy of it was broken off; get it again.',
    recognises: (start) => start.length > 8 && start.every((byte) => byte === 0),
  },
  {
    name: 'a Python text',
    cure: 'It is the program of a network, not its weights; give the file that torch.save wrote.',
    recognises: says('import ', 'from ', '#!', '"""', 'class ', 'def '),
  },
]

/** @param start the file's first bytes. @returns undefined for what is none of these. */
export function fileKind(start: Buffer): FileKind | undefined {
  return kinds.find((kind) => kind.recognises(start))
}

/** What a file begins with, for a person: its text where it is one. */
export function beginning(start: Buffer): string {
  const few = start.subarray(0, 16)
  const isText = few.every((byte) => byte >= 0x20 && byte < 0x7f)
  const bytes = few.toString('hex').replace(/(..)(?=.)/g, '$1 ')
  return `the bytes ${bytes}${isText ? `, ${show(few.toString('latin1'))}` : ''}`
}

/** Since PyTorch 1.6. */
export const isTorchZip = starts('PK\x03\x04')

/** The first pickle of PyTorch's older files: protocol 2, a number of ten bytes, and its end. */
export const legacyStart = Buffer.from('80028a0a6cfc9c46f9206aa850192e', 'hex')

export function isTorchLegacy(start: Buffer): boolean {
  return start.subarray(0, legacyStart.length).equals(legacyStart)
}

/**
 * The header's length, of which the format allows 100 MB, and its opening brace; also a length beyond that, so that the error says so.
 */
export function isSafetensors(start: Buffer): boolean {
  return start[8] === 0x7b && (start.readUInt32LE(4) === 0 || fileKind(start) === undefined)
}
