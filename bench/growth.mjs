// How cost grows, measured: with threads, and with the size of the network. PyTorch beside ours, as in run.mjs.
import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { inTurn } from './in-turn.mjs'
import { median } from './report.mjs'
import { Worker } from './worker.mjs'
import { workloads } from './workloads.mjs'

const here = (name) => fileURLToPath(new URL(name, import.meta.url))
const tolerance = 1e-4
const layout = 'channels-last'

const ours = () => new Worker('dpm-torch', process.execPath, [here('workers/ours.mjs')])
const peer = (python, script, ...words) => new Worker('PyTorch', python, ['-W', 'ignore', here(script), ...words])

function agree(name, { difference }) {
  if (!(difference <= tolerance))
    throw new Error(`${name}: the outputs differ by ${difference}, more than ${tolerance}: no time is measured.`)
}

const shown = (seconds) => (seconds < 10 ? `${(seconds * 1000).toFixed(0)} ms` : `${seconds.toFixed(1)} s`)

function table(head, rows) {
  const line = (cells) => `| ${cells.join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}

/** Training step and evaluation of one workload on 1 and 2 threads, all four in turn. */
async function threadRows(name, python, rounds, folder) {
  const { config, batch } = workloads[name]
  const sides = {}
  try {
    for (const threads of [1, 2]) {
      const request = { config, batch, precision: 'float32', threads, layout }
      const path = join(folder, `${name}-${threads}.safetensors`)
      sides[`ours ${threads}`] = ours()
      sides[`peer ${threads}`] = peer(python, 'workers/diffusers_peer.py')
      await sides[`ours ${threads}`].ask('build', request)
      await sides[`ours ${threads}`].ask('write', { path })
      await sides[`peer ${threads}`].ask('build', request)
      agree(name, await sides[`peer ${threads}`].ask('load', { path }))
    }
    const rows = []
    for (const [work, command, request] of [
      ['training step', 'train', { steps: 1 }],
      ['evaluation', 'forward', { times: 2 }],
    ]) {
      const seconds = await inTurn(sides, rounds, command, request)
      const ratio = (a, b) => median(seconds[a].map((value, round) => value / seconds[b][round])).toFixed(2)
      rows.push([
        `${name}, batch ${batch}, ${work}`,
        ...['ours 1', 'ours 2', 'peer 1', 'peer 2'].map((side) => shown(median(seconds[side]))),
        `${ratio('ours 1', 'ours 2')} ×`,
        `${ratio('peer 1', 'peer 2')} ×`,
        `${ratio('peer 1', 'ours 1')} ×, ${ratio('peer 2', 'ours 2')} ×`,
      ])
    }
    return rows
  } finally {
    for (const side of Object.values(sides)) side.close()
  }
}

/** ADM's network of ImageNet-64, one image: its weights are drawn by the peer and imported by us. */
async function largeRows(python, source, rounds, threads, folder) {
  const request = { batch: 1, size: 64, classes: 1000, precision: 'float32', threads, layout }
  const weights = join(folder, 'adm.pt')
  const writer = peer(python, 'workers/adm_peer.py', source)
  const { parameters } = await writer.ask('build', { ...request, path: weights })
  writer.close()
  const checkpoint = join(folder, 'adm.safetensors')
  const choices = ['headChannels=64', 'headLayout=split', 'dropout=0.1', 'diffusionSteps=1000', 'noiseSchedule=cosine']
  const words = ['import', weights, '--out', checkpoint, '--format', 'guided-diffusion']
  await promisify(execFile)(process.execPath, [
    here('../dist/cli/main.js'),
    ...words,
    ...choices.flatMap((choice) => ['--set', choice]),
  ])
  await rm(weights)
  const sides = { ours: ours(), peer: peer(python, 'workers/adm_peer.py', source) }
  try {
    const path = join(folder, 'adm-output.safetensors')
    await sides.ours.ask('open', { ...request, path: checkpoint })
    await sides.ours.ask('write', { path, weights: false })
    await sides.peer.ask('build', request)
    agree('ADM', await sides.peer.ask('load', { path }))
    const rows = []
    for (const [work, command, what] of [
      ['evaluation', 'forward', { times: 1 }],
      ['training step', 'train', { steps: 1 }],
    ]) {
      const { ours: mine, peer: theirs } = await inTurn(sides, rounds, command, what)
      const ratio = median(theirs.map((seconds, round) => seconds / mine[round]))
      rows.push([work, shown(median(mine)), shown(median(theirs)), `${ratio.toFixed(2)} ×`])
    }
    const [mine, theirs] = [await sides.ours.ask('memory'), await sides.peer.ask('memory')].map((it) => it.peakBytes)
    const mebibytes = (bytes) => `${Math.round(bytes / 2 ** 20)} MiB`
    rows.push(['peak memory', mebibytes(mine), mebibytes(theirs), `${(theirs / mine).toFixed(2)} ×`])
    return { parameters, rows }
  } finally {
    for (const side of Object.values(sides)) side.close()
  }
}

/**
 * Prints the tables of docs/scaling.md that are measured.
 * @param source a check-out of guided-diffusion; without one the large network is left out.
 */
export async function measureGrowth({ python, source, rounds, threads, only }) {
  const folder = await mkdtemp(join(tmpdir(), 'dpm-torch-growth-'))
  try {
    const rows = []
    for (const name of only) rows.push(...(await threadRows(name, python, rounds, folder)))
    const sides = ['ours, 1 thread', 'ours, 2', 'PyTorch, 1', 'PyTorch, 2', 'ours, 1 → 2', 'PyTorch, 1 → 2']
    if (rows.length > 0) console.log(`${table(['work', ...sides, 'ratio at 1, at 2'], rows)}\n`)
    if (source === undefined) return
    const large = await largeRows(python, source, rounds, threads, folder)
    const title = `ADM ImageNet-64, ${large.parameters.toLocaleString('en')} parameters, batch 1, ${threads} threads`
    console.log(table([title, 'dpm-torch', 'PyTorch', 'ratio'], large.rows))
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
