#!/usr/bin/env node
// Measures us and PyTorch beside each other: the same weights, as many threads, in turn. Says nothing of time before both
// give the same output. Usage and the peer's installation: bench/README.md.
import { mkdtemp, rm } from 'node:fs/promises'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { median, writeReport } from './report.mjs'
import { Worker } from './worker.mjs'
import { workloads } from './workloads.mjs'

const here = (name) => fileURLToPath(new URL(name, import.meta.url))
const { values: flags } = parseArgs({
  options: {
    only: { type: 'string', default: Object.keys(workloads).join(',') },
    precisions: { type: 'string', default: 'float32,bfloat16' },
    rounds: { type: 'string', default: '5' },
    threads: { type: 'string', default: String(Math.min(2, cpus().length)) },
    python: { type: 'string', default: process.env.BENCH_PYTHON ?? 'python3' },
    out: { type: 'string', default: join('bench', 'results') },
  },
})
const threads = Number(flags.threads)
const rounds = Number(flags.rounds)
/** Outputs must agree as far as this before a time is believed. */
const tolerance = { float32: 1e-4, bfloat16: 0.1 }

const environment = { OMP_NUM_THREADS: flags.threads }
const ours = () => new Worker('dpm-torch', process.execPath, [here('workers/ours.mjs')], environment)
const peer = () => new Worker('PyTorch', flags.python, ['-W', 'ignore', here('workers/diffusers_peer.py')], environment)

function say(text) {
  process.stderr.write(`${text}\n`)
}

/** Seconds of both sides, in turn: ours, and the peer's in each layout; the first round warms up and is dropped. */
async function inTurn(sides, command, request) {
  const seconds = Object.fromEntries(Object.keys(sides).map((name) => [name, []]))
  for (let round = 0; round <= rounds; round++) {
    for (const [name, side] of Object.entries(sides)) {
      const answer = await side.ask(command, request)
      if (round > 0) seconds[name].push(median(answer.seconds))
    }
  }
  return seconds
}

/** Ours against the peer's better layout, as the median of the rounds' ratios. */
function compared({ ours: mine, ...theirs }) {
  const [layout, best] = Object.entries(theirs).sort((a, b) => median(a[1]) - median(b[1]))[0]
  return {
    ours: median(mine),
    peer: median(best),
    layout,
    ratio: median(best.map((seconds, round) => seconds / mine[round])),
    rounds: { ours: mine, peer: best },
  }
}

async function measure(name, precision, folder) {
  const { config, batch, title } = workloads[name]
  say(`${name}, ${precision}: ${title}`)
  const sides = { ours: ours(), contiguous: peer(), 'channels-last': peer() }
  try {
    const request = { config, batch, precision, threads }
    const path = join(folder, `${name}.safetensors`)
    const { parameters } = await sides.ours.ask('build', request)
    await sides.ours.ask('write', { path })
    let difference = 0
    for (const layout of ['contiguous', 'channels-last']) {
      await sides[layout].ask('build', { ...request, layout })
      difference = Math.max(difference, (await sides[layout].ask('load', { path })).difference)
    }
    if (!(difference <= tolerance[precision]))
      throw new Error(
        `${name}, ${precision}: the outputs differ by ${difference}, more than ${tolerance[precision]}: no time is measured.`,
      )
    const flops = (await sides.contiguous.ask('flops')).forward
    const peak = (await sides.contiguous.ask('convolution', { times: 30 })).gigaflops
    const forward = compared(await inTurn(sides, 'forward', { times: 5 }))
    const train = compared(await inTurn(sides, 'train', { steps: 3 }))
    const memory = {
      ours: (await sides.ours.ask('memory')).peakBytes,
      peer: Math.min(
        (await sides.contiguous.ask('memory')).peakBytes,
        (await sides['channels-last'].ask('memory')).peakBytes,
      ),
    }
    say(
      `  step ${train.ratio.toFixed(2)} × PyTorch, forward ${forward.ratio.toFixed(2)} ×, outputs differ by ${difference.toExponential(1)}`,
    )
    return { workload: name, title, precision, batch, parameters, difference, flops, peak, train, forward, memory }
  } finally {
    for (const side of Object.values(sides)) side.close()
  }
}

/** Seconds from nothing to the first native call done, each in a fresh process. */
async function measureStart() {
  const seconds = { ours: [], peer: [] }
  for (let round = 0; round <= rounds; round++) {
    const start = new Worker('dpm-torch', process.execPath, [here('workers/start.mjs')], environment)
    const sides = { ours: start, peer: peer() }
    for (const [name, side] of Object.entries(sides)) {
      const answer = await side.ask('ready')
      side.close()
      if (round > 0) seconds[name].push(answer.seconds)
    }
  }
  return compared(seconds)
}

const folder = await mkdtemp(join(tmpdir(), 'dpm-torch-bench-'))
try {
  const probe = peer()
  const versions = await probe.ask('describe')
  probe.close()
  const results = []
  for (const name of flags.only.split(',')) {
    if (!Object.hasOwn(workloads, name))
      throw new Error(`There is no workload "${name}"; there are ${Object.keys(workloads).join(', ')}.`)
    for (const precision of flags.precisions.split(',')) results.push(await measure(name, precision, folder))
  }
  const start = await measureStart()
  const machine = { processor: cpus()[0]?.model.trim() ?? 'unknown', threads, node: process.version, ...versions }
  await writeReport(flags.out, { date: new Date().toISOString().slice(0, 10), machine, results, start })
} catch (error) {
  say(`error: ${error.message}`)
  process.exitCode = 1
} finally {
  await rm(folder, { recursive: true, force: true })
}
