/** What a path's ending says of it, where an option takes files of some kinds, or a folder. */
import { existsSync, statSync } from 'node:fs'
import { extname } from 'node:path'
import { expected } from '../errors.js'

/** Endings of files that a user may hope for: none of them is meant as the name of a folder. */
const fileEndings = new Set(
  (
    '.png .jpg .jpeg .jpe .jfif .webp .gif .apng .bmp .tif .tiff .avif .heic .heif .jxl .jp2 .svg .ico .ppm .pgm .pnm .tga .psd .exr .pdf ' +
    '.mp4 .webm .avi .mov .mkv .csv .tsv .txt .npy .npz .json .jsonl .parquet .arrow .xlsx .h5 .hdf5 .mat .pkl .zip .tar .gz .tgz ' +
    '.safetensors .pt .pth .bin .ckpt .onnx .gguf .msgpack'
  ).split(' '),
)

/** The lower-case ending of a file's name; an empty string of what is plainly a folder: it is there, or its name ends in a slash. */
export function endingOf(path: string): string {
  if (/[\\/]$/.test(path) || path === '') return ''
  return isFolder(path) ? '' : extname(path).toLowerCase()
}

/** What cannot be looked at, such as a name that is too long, is refused where it is made. */
function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory()
  } catch {
    return false
  }
}

/** Whether a path that is to become a folder has the name of a file. */
export function isNamedAsFile(path: string): boolean {
  return fileEndings.has(endingOf(path))
}

/** Holds the path of a folder that is to be made to a name that is none of a file. @throws DpmError DPM_INVALID_OPTION */
export function requireFolderName(path: string, name: string): void {
  // Of a file that is there the system says more.
  if (!isNamedAsFile(path) || existsSync(path)) return
  throw expected('a folder', name, path, 'For a folder of that name end it with a slash.', 'DPM_INVALID_OPTION')
}

/** Holds the path of a file to the endings of its kind; a name without a known ending passes too. @throws DpmError DPM_INVALID_OPTION */
export function requireNoOtherEnding(path: string, name: string, own: readonly string[]): void {
  const ending = extname(path).toLowerCase()
  if (own.includes(ending) || !fileEndings.has(ending)) return
  throw expected(`a name that ends in ${own.join(', ')}`, name, path, '', 'DPM_INVALID_OPTION')
}
