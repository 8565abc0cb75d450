#!/usr/bin/env node
// Measures us and PyTorch beside each other: the same weights, as many threads, in turn. Says nothing of time before both
// give the same output. Usage and the peer's installation: bench/README.md.
import { mkdtemp, rm } from 'node:fs/promises'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { compared, inTurn } from './in-turn.mjs'
import { measureLoading } from './loading.mjs'
import { writeReport } from './report.mjs'
import { measureOverheads, measureSampling, sampledWorkload } from './sampling.mjs'
import { Worker } from './worker.mjs'
import { workloads } from './workloads.mjs'

const here = (name) => fileURLToPath(new URL(name, import.meta.url))
/** What is measured beside the workloads. */
const others = ['sampling', 'pictures', 'start']
const { values: flags } = parseArgs({
  options: {
    only: { type: 'string', default: [...Object.keys(workloads), ...others].join(',') },
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

async function measure(name, precision, folder) {
  const { config, batch, title, letter = name, brief = false } = workloads[name]
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
    const forward = brief ? null : compared(await inTurn(sides, rounds, 'forward', { times: 5 }))
    const train = compared(await inTurn(sides, brief ? Math.min(2, rounds) : rounds, 'train', { steps: brief ? 1 : 3 }))
    const memory = {
      ours: (await sides.ours.ask('memory')).peakBytes,
      peer: Math.min(
        (await sides.contiguous.ask('memory')).peakBytes,
        (await sides['channels-last'].ask('memory')).peakBytes,
      ),
    }
    const evaluated = forward ? `, forward ${forward.ratio.toFixed(2)} ×` : ''
    say(`  step ${train.ratio.toFixed(2)} × PyTorch${evaluated}, outputs differ by ${difference.toExponential(1)}`)
    return { workload: letter, title, precision, batch, parameters, difference, flops, peak, train, forward, memory }
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

/** A whole run, and the cost of a step beside its network. */
async function sample(folder) {
  say('sampling: a whole run with guidance')
  const side = new Worker('dpm-torch', process.execPath, [here('workers/ours-sampling.mjs')], environment)
  const sides = { ours: side, contiguous: peer(), 'channels-last': peer() }
  try {
    const { config } = workloads[sampledWorkload]
    const run = await measureSampling(sides, config, folder, threads, rounds)
    say(`  run ${run.ratio.toFixed(2)} × PyTorch, images differ by ${run.difference.toExponential(1)}`)
    const overheads = await measureOverheads(side, rounds)
    for (const { sampler, microseconds } of overheads)
      say(`  step of ${sampler} beside its network: ${microseconds.toFixed(1)} µs`)
    return { run, overheads }
  } finally {
    for (const one of Object.values(sides)) one.close()
  }
}

/** Pictures read from a folder, beside torchvision. */
async function loading(folder) {
  say('pictures: a folder of JPEGs')
  const sides = {
    ours: new Worker('dpm-torch', process.execPath, [here('workers/loading.mjs')]),
    peer: new Worker('torchvision', flags.python, ['-W', 'ignore', here('workers/torchvision_peer.py')]),
  }
  try {
    const versions = await sides.peer.ask('describe')
    const measured = await measureLoading(sides, folder, rounds)
    say(`  ${measured.ratio.toFixed(2)} × torchvision, pixels differ by ${measured.difference.toFixed(1)} of 255`)
    return { ...measured, versions }
  } finally {
    for (const side of Object.values(sides)) side.close()
  }
}

const folder = await mkdtemp(join(tmpdir(), 'dpm-torch-bench-'))
try {
  const probe = peer()
  const versions = await probe.ask('describe')
  probe.close()
  const results = []
  const asked = new Set(flags.only.split(','))
  for (const name of asked) {
    if (others.includes(name)) continue
    if (!Object.hasOwn(workloads, name))
      throw new Error(`There is no workload "${name}"; there are ${[...Object.keys(workloads), ...others].join(', ')}.`)
    for (const precision of flags.precisions.split(','))
      if (precision === 'float32' || !workloads[name].brief) results.push(await measure(name, precision, folder))
  }
  const sampled = asked.has('sampling') ? await sample(folder) : null
  const data = asked.has('pictures') ? await loading(folder) : null
  const start = asked.has('start') ? await measureStart() : null
  const machine = { processor: cpus()[0]?.model.trim() ?? 'unknown', threads, node: process.version, ...versions }
  await writeReport(flags.out, { date: new Date().toISOString().slice(0, 10), machine, results, sampled, data, start })
} catch (error) {
  say(`error: ${error.message}`)
  process.exitCode = 1
} finally {
  await rm(folder, { recursive: true, force: true })
}
