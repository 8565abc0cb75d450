/** Which frame of which file an example is. */
import { open, readFile } from 'node:fs/promises'
import type { RawPath } from '../files/raw-path.js'
import { eachConcurrently } from '../images/concurrently.js'
import { formatBytes, formatOf } from '../images/picture-format.js'
import { countFrames } from '../images/picture-header.js'
import type { OpenProgress } from './data-set.js'

export interface FrameIndex {
  /** Number of examples. */
  readonly count: number
  pictureOf(index: number): number
  frameOf(index: number): number
  /** Examples of a file. */
  framesOf(picture: number): number
}

/** An example for each file. */
export function firstFrames(count: number): FrameIndex {
  return { count, pictureOf: (index) => index, frameOf: () => 0, framesOf: () => 1 }
}

/** An example for each frame, those of one file together. A file that cannot be read has one: reading it says what is wrong. */
export async function findFrames(
  paths: readonly RawPath[],
  signal?: AbortSignal,
  progress?: OpenProgress,
): Promise<FrameIndex> {
  const frames = new Uint32Array(paths.length).fill(1)
  let done = 0
  const countOne = async (picture: number): Promise<void> => {
    frames[picture] = await countIn(paths[picture]?.bytes ?? '').catch(() => 1)
    done += 1
    progress?.(done, paths.length)
  }
  await eachConcurrently(paths.length, countOne, signal)
  const count = frames.reduce((sum, some) => sum + some, 0)
  const pictures = new Uint32Array(count)
  const numbers = new Uint32Array(count)
  let index = 0
  for (const [picture, some] of frames.entries()) {
    for (let frame = 0; frame < some; frame++, index++) {
      pictures[index] = picture
      numbers[index] = frame
    }
  }
  return {
    count,
    pictureOf: (at) => pictures[at] ?? 0,
    frameOf: (at) => numbers[at] ?? 0,
    framesOf: (picture) => frames[picture] ?? 1,
  }
}

/** Most files have one by their format, which their first bytes say. */
async function countIn(path: string | Buffer): Promise<number> {
  const file = await open(path)
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(formatBytes), 0, formatBytes, 0)
    const format = formatOf(buffer.subarray(0, bytesRead))
    if (format === undefined || format === 'jpeg' || format === 'png' || format === 'svg') return 1
    return await countFrames(await readFile(path), format)
  } finally {
    await file.close()
  }
}
