#!/usr/bin/env node
// What a person sees after as many epochs: our `sprites` recipe and PyTorch's usual set-up (noise prediction, 500 times,
// diffusers' UNet2DModel of workload C) learn the same sprites; a picture shows both, a class in each row, ours left.
//   BENCH_PYTHON=… node bench/sprites.mjs [--epochs 32] [--only ours|peer] [--precision bfloat16] [--folder F]
import { spawn } from 'node:child_process'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { Diffusion, formatDuration, Images, openDataSet, Trainer } from '../dist/index.js'
import { workloads } from './workloads.mjs'

const { values: flags } = parseArgs({
  options: {
    epochs: { type: 'string', default: '32' },
    only: { type: 'string', default: 'both' },
    precision: { type: 'string', default: 'float32' },
    folder: { type: 'string', default: join('runs', 'bench-sprites') },
    threads: { type: 'string', default: '2' },
    python: { type: 'string', default: process.env.BENCH_PYTHON ?? 'python3' },
    out: { type: 'string', default: join('bench', 'results', 'sprites') },
  },
})
if (!['both', 'ours', 'peer'].includes(flags.only))
  throw new Error(`Expected both, ours or peer for --only but received ${flags.only}.`)
const columns = 10
const guidance = 2

/** The pictures that both learn, as bytes that Python reads without help. */
async function writeData() {
  const data = await openDataSet({ kind: 'emoji', size: 16 })
  const images = new Uint8Array(data.length * 3 * 256)
  const indices = Array.from({ length: data.length }, (_, n) => n)
  await data.read(indices, images)
  await writeFile(join(flags.folder, 'images.u8'), images)
  await writeFile(
    join(flags.folder, 'labels.u8'),
    Uint8Array.from(indices, (n) => data.classOf(n)),
  )
  await data.close()
  return data.classes
}

/** Our recipe, its budget in epochs; seconds are those of training alone. */
async function trainOurs(classes) {
  const out = join(flags.folder, `ours-${flags.epochs}`)
  const { precision } = flags
  const changes = { precision, budget: { epochs: Number(flags.epochs) }, previews: { everySteps: 0 } }
  const trainer = await Trainer.create({ recipe: 'sprites', out, ...changes })
  const began = performance.now()
  for await (const { step, loss } of trainer.steps()) {
    if (step % 200 === 0) console.error(`dpm-torch: step ${step}, loss ${loss.toFixed(4)}, ${elapsed(began)}`)
  }
  const seconds = (performance.now() - began) / 1000
  await trainer.finish()
  await trainer.close()
  const model = await Diffusion.load(out)
  const wanted = { classes: repeated(classes), count: classes.length * columns, guidance, steps: 100, seed: 0 }
  const { data } = await model.sample(wanted)
  await model.dispose()
  await writeFile(join(flags.folder, 'ours.u8'), data)
  return seconds
}

async function trainPeer(classes) {
  const script = fileURLToPath(new URL('workers/sprites_peer.py', import.meta.url))
  const { num_class_embeds: _, ...config } = workloads.C.config
  const words = ['-W', 'ignore', script, flags.folder, '--classes', classes.length, '--columns', columns]
  words.push('--config', JSON.stringify({ ...config, num_class_embeds: classes.length + 1 }))
  words.push('--epochs', flags.epochs, '--guidance', guidance, '--threads', flags.threads)
  const child = spawn(flags.python, words.map(String), { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = new Promise((resolve, reject) => child.on('error', reject).on('exit', resolve))
  let seconds = 0
  for await (const line of createInterface({ input: child.stdout })) {
    const told = JSON.parse(line)
    if (told.seconds) seconds = told.seconds
    console.error(`PyTorch: ${line}`)
  }
  if ((await ended) !== 0) throw new Error('The peer failed; what it said stands above.')
  return seconds
}

const repeated = (classes) => classes.flatMap((name) => Array(columns).fill(name))
const elapsed = (began) => formatDuration((performance.now() - began) / 1000)

/** Ours left, the peer's right, a class in each row. */
async function writePicture(classes) {
  const size = 3 * 256
  const sides = await Promise.all(['ours.u8', 'peer.u8'].map((name) => readFile(join(flags.folder, name))))
  const blank = Buffer.alloc(size, 255)
  const rows = classes.map((_, row) => {
    const [left, right] = sides.map((side) => side.subarray(row * columns * size, (row + 1) * columns * size))
    return Buffer.concat([left, blank, right])
  })
  const images = new Images(new Uint8Array(Buffer.concat(rows)), [rows.length * (2 * columns + 1), 3, 16, 16])
  await images.grid({ columns: 2 * columns + 1, scale: 3 }).toFile(`${flags.out}.png`)
}

/** A half that `--only` ran earlier counts too: each leaves `<side>.u8` and `<side>.json` in the folder. */
async function runHalf(side, train) {
  const file = join(flags.folder, `${side}.json`)
  if (flags.only === 'both' || flags.only === side)
    await writeFile(file, JSON.stringify({ epochs: Number(flags.epochs), seconds: await train(classes) }))
  return JSON.parse(
    await readFile(file, 'utf8').catch((error) => {
      if (error.code === 'ENOENT') return 'null'
      throw error
    }),
  )
}

await mkdir(flags.folder, { recursive: true })
const classes = await writeData()
const ours = await runHalf('ours', trainOurs)
const peer = await runHalf('peer', trainPeer)
if (ours && peer) {
  await writeFile(`${flags.out}.json`, `${JSON.stringify({ classes, ours, peer }, null, 2)}\n`)
  await writePicture(classes)
}
console.log(JSON.stringify({ ours, peer }))
