// What a benchmark run leaves: JSON, a Markdown table and a chart.
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)]
}

/** Factors that each row must reach, and what it aims at: training step, then forward. */
const targets = {
  float32: { A: [1.25, 1.6, 1.2, 1.6], B: [1.7, 2.2, 1.6, 2.2], C: [1.25, 1.6, 1.2, 1.6] },
  bfloat16: { A: [1.2, 1.5], B: [1.6, 2], C: [1.6, 2] },
}
/** Share of the measured convolution that a float32 step must reach. */
const shares = { A: 0.8, B: 0.72, C: 0.85 }

/** One line per quantity: { work, ours, peer, ratio, must, goal }; in the place of a ratio, a `share`, or `microseconds` at most. */
function rowsOf({ results, sampled, data, start }) {
  const rows = []
  for (const { workload, precision, batch, flops, peak, train, forward, memory } of results) {
    const [trainMust, trainGoal, forwardMust, forwardGoal] = targets[precision]?.[workload] ?? []
    const where = `${workload}, batch ${batch}, ${precision}`
    const time = (seconds) => `${(seconds * 1000).toFixed(0)} ms`
    rows.push({
      work: `training step, ${where}`,
      ours: time(train.ours),
      peer: time(train.peer),
      ratio: train.ratio,
      must: trainMust,
      goal: trainGoal,
    })
    if (forward)
      rows.push({
        work: `network evaluation, ${where}`,
        ours: time(forward.ours),
        peer: time(forward.peer),
        ratio: forward.ratio,
        must: forwardMust,
        goal: forwardGoal,
      })
    if (precision === 'float32') {
      // A step is three forward passes' worth of products.
      const share = (seconds) => (3 * flops) / seconds / 1e9 / peak
      rows.push({
        work: `share of the convolution's speed, step of ${workload}, batch ${batch}`,
        ours: percent(share(train.ours)),
        peer: percent(share(train.peer)),
        share: share(train.ours),
        must: shares[workload],
        goal: 1,
      })
      const mebibytes = (bytes) => `${Math.round(bytes / 2 ** 20)} MiB`
      rows.push({
        work: `peak memory, ${where}`,
        ours: mebibytes(memory.ours),
        peer: mebibytes(memory.peer),
        ratio: memory.peer / memory.ours,
        must: 1,
        goal: 1 / 0.6,
      })
    }
  }
  if (sampled) {
    const { run, overheads } = sampled
    rows.push({
      work: `whole run, C, ${run.sampling.count} images, ${run.sampling.steps} steps, guided`,
      ours: `${run.ours.toFixed(2)} s`,
      peer: `${run.peer.toFixed(2)} s`,
      ratio: run.ratio,
      must: 1.4,
      goal: 2,
    })
    for (const { sampler, microseconds } of overheads)
      rows.push({
        work: `step of ${sampler} beside its network, 2×2 image`,
        ours: shown({ microseconds }),
        peer: '',
        microseconds,
        must: 30,
        goal: 10,
      })
  }
  const perSecond = (seconds) => `${Math.round(1 / seconds)} pictures/s`
  if (data)
    rows.push({
      work: 'pictures from a JPEG folder, against 2 workers',
      ours: perSecond(data.ours),
      peer: perSecond(data.peer),
      ratio: data.ratio,
      must: 1,
      goal: 1.5,
    })
  const milliseconds = (seconds) => `${(seconds * 1000).toFixed(0)} ms`
  if (start)
    rows.push({
      work: 'import and first native call',
      ours: milliseconds(start.ours),
      peer: milliseconds(start.peer),
      ratio: start.ratio,
      must: 8,
      goal: 12,
    })
  return rows
}

const percent = (share) => `${Math.round(100 * share)} %`

function shown({ ratio, share, microseconds }) {
  if (share !== undefined) return percent(share)
  return microseconds !== undefined ? `${microseconds.toFixed(1)} µs` : `${ratio.toFixed(2)} ×`
}

function verdict({ ratio, share, microseconds, must, goal }) {
  if (must === undefined) return ''
  // Of microseconds the fewer the better.
  const reaches = (bound) => (microseconds !== undefined ? microseconds < bound : (share ?? ratio) >= bound)
  if (reaches(goal)) return 'goal'
  return reaches(must) ? 'yes' : 'falls short'
}

/** What is asked, as the row shows it. */
function asked(row) {
  if (row.must === undefined) return ''
  const unit = ['ratio', 'share', 'microseconds'].find((name) => row[name] !== undefined)
  return `${unit === 'microseconds' ? '< ' : ''}${shown({ [unit]: row.must })}`
}

export function markdown(report) {
  const { date, machine } = report
  const lines = [
    `${date}, ${machine.processor}, ${machine.threads} threads; PyTorch ${machine.torch}, diffusers ${machine.diffusers}; medians of ratios, PyTorch in its better memory layout.`,
    '',
    '| work | dpm-torch | PyTorch | ratio | must | reached |',
    '| --- | --- | --- | --- | --- | --- |',
  ]
  for (const row of rowsOf(report)) {
    lines.push(`| ${row.work} | ${row.ours} | ${row.peer} | ${shown(row)} | ${asked(row)} | ${verdict(row)} |`)
  }
  return `${lines.join('\n')}\n`
}

/** Horizontal bars of the ratios, a stroke at what each must reach. */
function chart(report) {
  const rows = rowsOf(report).filter(({ ratio, work }) => ratio !== undefined && !work.startsWith('import'))
  const [left, height, scale] = [330, 26, 170]
  const width = left + 3 * scale
  const bars = rows.map((row, i) => {
    const y = 50 + i * height
    const length = Math.min(row.ratio, 2.9) * scale
    const mark =
      row.must === undefined ? '' : `<path d="M${left + row.must * scale} ${y - 2}v20" stroke="#333" stroke-width="2"/>`
    return `<text x="${left - 8}" y="${y + 13}" text-anchor="end">${row.work}</text><rect x="${left}" y="${y}" width="${length}" height="16" fill="${row.ratio >= (row.must ?? 1) ? '#2a7' : '#c64'}"/>${mark}<text x="${left + Math.max(length, (row.must ?? 0) * scale) + 8}" y="${y + 13}">${row.ratio.toFixed(2)}</text>`
  })
  const bottom = 50 + rows.length * height
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${bottom + 20}" font-family="sans-serif" font-size="12"><title>PyTorch beside dpm-torch</title><rect width="100%" height="100%" fill="white"/><text x="12" y="24" font-size="15">PyTorch\u2019s time, or memory, in multiples of ours; strokes: what is asked</text><path d="M${left + scale} 40V${bottom}" stroke="#999" stroke-dasharray="3"/>${bars.join('')}</svg>`
}

export async function writeReport(folder, report) {
  await mkdir(folder, { recursive: true })
  const text = markdown(report)
  await writeFile(join(folder, 'bench.json'), `${JSON.stringify(report, null, 2)}\n`)
  await writeFile(join(folder, 'bench.md'), text)
  const svg = chart(report)
  await writeFile(join(folder, 'bench.svg'), svg)
  const { default: sharp } = await import('sharp')
  await sharp(Buffer.from(svg), { density: 144 }).png().toFile(join(folder, 'bench.png'))
  process.stdout.write(`${text}\nWritten to ${folder}: bench.json, bench.md, bench.svg, bench.png\n`)
}
