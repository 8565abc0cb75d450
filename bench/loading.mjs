// Reading training data: pictures per second from a folder of JPEGs, decoded, cropped, mirrored at random and batched.
import { join } from 'node:path'
import { compared, inTurn } from './in-turn.mjs'
import { makePictures } from './pictures.mjs'

const pictures = { count: 600, size: 64, batch: 50 }
/** Mean difference of pixels, of 255 levels: the filters are the same, where the decoders stop shrinking is not. */
const tolerance = 2

/** Seconds per picture of both sides. Neither is believed before both have read the same pictures. */
export async function measureLoading({ ours, peer }, folder, rounds) {
  const path = join(folder, 'pictures')
  const bytes = await makePictures(path, pictures.count)
  await ours.ask('open', { folder: path, ...pictures })
  await peer.ask('open', { folder: path, ...pictures })
  const read = join(folder, 'pictures.raw')
  await ours.ask('write', { path: read, count: 100 })
  const { difference } = await peer.ask('compare', { path: read, count: 100 })
  if (!(difference <= tolerance))
    throw new Error(`The pictures differ by ${difference} of 255 levels, more than ${tolerance}: no time is measured.`)
  // What was read ahead while the other side worked is not counted: 6 batches first.
  const seconds = await inTurn({ ours, peer }, rounds, 'load', { before: 6, batches: 12 })
  return { ...compared(seconds), pictures: { ...pictures, bytes }, difference }
}
