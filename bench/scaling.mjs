#!/usr/bin/env node
// The tables of docs/scaling.md, as Markdown: what a training step costs on 1 to 512 GPUs, on paper; with --measure, what
// more threads and a larger network cost on this machine.
import { parseArgs } from 'node:util'
import { measureGrowth } from './growth.mjs'

const { values: flags } = parseArgs({
  options: {
    measure: { type: 'boolean', default: false },
    python: { type: 'string', default: process.env.BENCH_PYTHON ?? 'python3' },
    source: { type: 'string' },
    only: { type: 'string', default: 'A,C' },
    rounds: { type: 'string', default: '3' },
    threads: { type: 'string', default: '2' },
  },
})

/** Counted, not estimated: `peer.flops`, and what autograd keeps (saved tensors in float32), per image. */
const networks = [
  { name: 'DDPM CIFAR-10, batch 128', parameters: 35.7e6, flops: 12.44e9, kept: 64.3e6, batch: 128, most: 128 },
  { name: 'ADM ImageNet-64, batch 2048', parameters: 295.9e6, flops: 219.4e9, kept: 1077e6, batch: 2048, most: 512 },
]
/** NVIDIA's H100 SXM data sheet; the share of the arithmetic that convolutional networks reach is an assumption. */
const machine = { arithmetic: 989e12, reached: 0.4, memory: 3.35e12, nvlink: 450e9, network: 50e9, perNode: 8 }

/** Seconds of an all-reduce: a ring in the node, then one ring per GPU of the node between nodes, each with its share. */
function allReduce(bytes, gpus) {
  const inNode = Math.min(gpus, machine.perNode)
  const nodes = Math.max(1, gpus / machine.perNode)
  const ring = (members, size, speed) => (2 * (members - 1) * size) / members / speed
  return ring(inNode, bytes, machine.nvlink) + ring(nodes, bytes / machine.perNode, machine.network)
}

function step({ parameters, flops, kept, batch }, gpus) {
  const images = batch / gpus
  const arithmetic = (3 * flops * images) / (machine.arithmetic * machine.reached)
  // bfloat16 activations: written and read once on each way.
  const traffic = (4 * (kept / 2) * images) / machine.memory
  // Weights, gradients, two moments and an average in float32, most of them read and written.
  const update = (8 * 4 * parameters) / machine.memory
  const exchange = allReduce(4 * parameters, gpus)
  const passes = Math.max(arithmetic, traffic)
  // Gradients travel while the rest of the backward pass, two thirds of the step, runs.
  const waiting = Math.max(0, exchange - (2 / 3) * passes)
  const seconds = passes + update + waiting
  const parts = { arithmetic: passes, update, exchange: waiting }
  const [limit] = Object.entries(parts).sort((a, b) => b[1] - a[1])[0]
  return { images, arithmetic, traffic, exchange, seconds, limit }
}

const ms = (seconds) => (seconds * 1000).toPrecision(3)

function onPaper() {
  for (const network of networks) {
    console.log(`\n### ${network.name}\n`)
    console.log(
      '| GPUs | images each | arithmetic, ms | memory, ms | all-reduce, ms | step, ms | images/s | efficiency | limit |',
    )
    console.log('| --- | --- | --- | --- | --- | --- | --- | --- | --- |')
    const alone = step(network, 1).seconds
    for (let gpus = 1; gpus <= network.most; gpus *= 2) {
      const { images, arithmetic, traffic, exchange, seconds, limit } = step(network, gpus)
      const speed = Math.round(network.batch / seconds)
      const efficiency = Math.round((100 * alone) / seconds / gpus)
      console.log(
        `| ${gpus} | ${images} | ${ms(arithmetic)} | ${ms(traffic)} | ${ms(exchange)} | ${ms(seconds)} | ${speed} | ${efficiency} % | ${limit} |`,
      )
    }
  }
}

if (flags.measure) {
  const only = flags.only.split(',').filter((name) => name !== '')
  await measureGrowth({ ...flags, only, rounds: Number(flags.rounds), threads: Number(flags.threads) })
} else onPaper()
