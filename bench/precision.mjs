#!/usr/bin/env node
// Whether a training in half precision loses anything: loss curves of a short training on Fashion-MNIST, in half precision and
// in float32, from the same seeds, with the same images and the same noise. What float32 itself differs by from seed to seed
// is the noise; the curves of half precision should lie within it. --out writes precision.json and a chart.
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Trainer } from '../dist/index.js'
import { compiled } from '../scripts/build-addon.mjs'
import { findFashionMnist } from '../scripts/fashion-mnist.mjs'

const { values: flags } = parseArgs({
  options: {
    precisions: { type: 'string', default: 'bfloat16,float16' },
    seeds: { type: 'string', default: '4' },
    steps: { type: 'string', default: '300' },
    batch: { type: 'string', default: '32' },
    threads: { type: 'string' },
    out: { type: 'string' },
  },
})
const [seeds, steps, batch] = [flags.seeds, flags.steps, flags.batch].map(Number)
/** Losses are averaged over so many updates: one update's loss says more of its times than of the network. */
const block = Math.max(1, Math.round(steps / 12))

const data = await findFashionMnist()
if ('reason' in data) throw new Error(`Fashion-MNIST is not to be had: ${data.reason}.`)

/** Mean loss of every block of one training. */
async function curve(precision, seed) {
  const trainer = await Trainer.create({
    data: { kind: 'idx', folder: data.folder, padding: 2, names: 'fashion' },
    network: {
      kind: 'unet',
      channels: 32,
      multipliers: [1, 2, 2],
      blocks: 1,
      attentionResolutions: [8],
      classConditional: true,
    },
    diffusion: { prediction: 'velocity', schedule: 'cosine' },
    training: { batch, learningRate: { peak: 1e-3, warmupSteps: 20, decay: 'cosine' }, averaging: [] },
    budget: { steps },
    previews: { everySteps: 0 },
    device: 'cpu',
    threads: flags.threads === undefined ? null : Number(flags.threads),
    precision,
    seed,
  })
  const losses = []
  try {
    for await (const { loss } of trainer.steps()) losses.push(loss)
  } finally {
    await trainer.close()
  }
  const means = []
  for (let at = 0; at + block <= losses.length; at += block) means.push(mean(losses.slice(at, at + block)))
  return means
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length

function deviation(values) {
  const centre = mean(values)
  return Math.sqrt(values.reduce((sum, value) => sum + (value - centre) ** 2, 0) / Math.max(values.length - 1, 1))
}

/** Curves of all seeds, one after the other. */
async function curvesOf(precision) {
  const curves = []
  for (let seed = 0; seed < seeds; seed++) {
    process.stderr.write(`${precision}, seed ${seed}\n`)
    curves.push(await curve(precision, seed))
  }
  return curves
}

const across = (curves, of) => curves[0].map((_, i) => of(curves.map((each) => each[i])))

const single = await curvesOf('float32')
const noise = across(single, deviation)
const report = {
  date: new Date().toISOString().slice(0, 10),
  settings: { seeds, steps, batch, block },
  float32: { mean: across(single, mean), deviation: noise, curves: single },
  precisions: {},
}
console.log(
  '| precision | last loss | difference of the means, in deviations over seeds: last, greatest | of one seed, greatest |',
)
console.log('| --- | --- | --- | --- |')
const round = (value) => value.toFixed(2)
console.log(`| float32 | ${mean(single.map((each) => each.at(-1))).toFixed(4)} ± ${noise.at(-1).toFixed(4)} | | |`)
for (const precision of flags.precisions.split(',')) {
  const half = await curvesOf(precision)
  // The same seed has the same images, times and noise on both sides, so this is what the digits alone do.
  const differences = half.map((each, seed) => each.map((loss, i) => loss - single[seed][i]))
  const shares = across(differences, mean).map((difference, i) => difference / noise[i])
  const greatest = Math.max(...shares.map(Math.abs))
  const ofOne = Math.max(...differences.flat().map((difference, k) => Math.abs(difference) / noise[k % noise.length]))
  report.precisions[precision] = {
    mean: across(half, mean),
    curves: half,
    shares,
    greatest,
    ofOne,
    within: greatest < 1,
  }
  const last = mean(half.map((each) => each.at(-1))).toFixed(4)
  console.log(`| ${precision} | ${last} | ${round(shares.at(-1))}, ${round(greatest)} | ${round(ofOne)} |`)
}

if (flags.out !== undefined) {
  const { lineChart } = await compiled('images/chart.js')
  const points = (values) => values.map((value, i) => [(i + 0.5) * block, value])
  const band = (sign) => report.float32.mean.map((value, i) => value + sign * noise[i])
  const panels = Object.entries(report.precisions).map(([precision, { mean: curve }]) => ({
    title: precision,
    series: [
      { name: 'float32', points: points(report.float32.mean) },
      { name: precision, points: points(curve) },
      { name: 'float32 and its deviation', points: points(band(1)) },
      { name: 'float32 less its deviation', points: points(band(-1)) },
    ],
  }))
  const title = `Loss of a small U-Net on Fashion-MNIST, means over ${seeds} seeds`
  const svg = lineChart({ title, x: { label: 'updates' }, y: { label: 'loss', scale: 'log' }, panels })
  await mkdir(flags.out, { recursive: true })
  await writeFile(join(flags.out, 'precision.json'), `${JSON.stringify(report, null, 2)}\n`)
  await writeFile(join(flags.out, 'precision.svg'), svg)
  console.error(`Written to ${flags.out}: precision.json, precision.svg`)
}
