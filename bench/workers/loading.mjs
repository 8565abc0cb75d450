// Our side of reading pictures: the data set and the reading ahead that a training run uses.
import { writeFile } from 'node:fs/promises'
import { answerRequests } from './answer.mjs'

const { datasets, openDataSet } = await import('../../dist/index.js')
const { createBatches } = await import('../../dist/datasets/batches.js')

let dataSet
let batches
let batch

async function open({ folder, size, batch: count }) {
  // Bilinear as Pillow's, and the decoder may shrink: of torchvision's pixels these are the nearest at this speed.
  const options = { kind: 'image-folder', folder, size, kernel: 'linear', shrinkOnLoad: true }
  dataSet = await openDataSet(datasets['image-folder'].options.parse(options))
  batch = count
  batches = createBatches(dataSet, { batch, seed: 1, flip: true })
  return { length: dataSet.length }
}

/** The first pictures, unmirrored, for the peer to compare. */
async function write({ path, count }) {
  const images = new Uint8Array(count * dataSet.channels * dataSet.height * dataSet.width)
  await dataSet.read([...Array(count).keys()], images)
  await writeFile(path, images)
  return {}
}

async function load({ before, batches: count }) {
  for (let i = 0; i < before; i++) await batches.next()
  const begin = performance.now()
  for (let i = 0; i < count; i++) await batches.next()
  return { seconds: [(performance.now() - begin) / 1000 / (count * batch)] }
}

await answerRequests({ open, write, load })
