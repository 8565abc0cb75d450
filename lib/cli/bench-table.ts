/** A benchmark and its profiles as lines of text. */
import type { Benchmark, Measurement } from '../benchmark/benchmark.js'
import type { ProfiledOperation } from '../benchmark/roofline.js'
import { showBytes } from '../libtorch/progress.js'
import { columns, count, shapeText } from './words.js'

export function benchmarkLines(result: Benchmark): string[] {
  const { name, network, parameters, image, batch, precision, machine, training, evaluation, memoryBytes } = result
  const { processor, threads, capability, device, flopsPerSecond, bytesPerSecond } = machine
  const rows = Object.entries({ 'training step': training, evaluation }).flatMap(([work, measured]) =>
    measured
      ? [
          [
            work,
            milliseconds(measured.median),
            speed(measured.imagesPerSecond),
            giga(measured.flopsPerSecond),
            percent(measured.shareOfPeak),
            showBytes(measured.peakBytes),
          ],
        ]
      : [],
  )
  return [
    `${name}: ${network}, ${count(parameters)} parameters; ${count(batch)} × ${shapeText(image)}, ${precision}`,
    `${processor}, ${threads} ${threads === 1 ? 'thread' : 'threads'}, ${capability}; on ${device}: convolution ${giga(flopsPerSecond)} GFLOP/s, copy ${giga(bytesPerSecond)} GB/s`,
    '',
    ...columns([['', 'ms', 'images/s', 'GFLOP/s', 'of peak', 'tensors at most'], ...rows]),
    `largest resident memory of the process: ${showBytes(memoryBytes)}`,
    '',
  ]
}

/** The slowest operations, and what all others take. */
export function profileLines(title: string, { profile }: Measurement, byShape: boolean, top: number): string[] {
  const all = byShape ? profile.byShape : profile.operations
  const shown = all.slice(0, top)
  const rest = all.slice(top).reduce((sum, { seconds }) => sum + seconds, 0)
  const last = (name: string, seconds: number): string[] => [
    name,
    '',
    '',
    milliseconds(seconds),
    percent(seconds / profile.seconds),
  ]
  return [
    `Where the time of ${title} goes, recorded ${profile.runs} times (recording took ${milliseconds(profile.recordingSeconds)} ms each, which no line counts):`,
    ...columns([
      [
        'operation',
        'phase',
        'calls',
        'ms',
        'share',
        'GFLOP',
        'GFLOP/s',
        'MB',
        'GB/s',
        'roofline',
        ...(byShape ? ['shapes'] : []),
      ],
      ...shown.map((operation) => operationRow(operation, byShape)),
      ...(rest > 0 ? [last(`${all.length - shown.length} others`, rest)] : []),
      last('between operations', profile.betweenSeconds),
      last('all', profile.seconds),
    ]),
    ...columns(phaseRows(profile.operations, profile.seconds)),
  ]
}

function operationRow(operation: ProfiledOperation, byShape: boolean): string[] {
  const { name, phase, calls, seconds, share, flops, bytes, roofline, shapes = '' } = operation
  const unlessNone = (value: number, text: string): string => (value === 0 ? '' : text)
  return [
    name,
    phase,
    Number(calls.toFixed(1)).toString(),
    milliseconds(seconds),
    percent(share),
    unlessNone(flops, giga(flops)),
    unlessNone(flops, giga(flops / seconds)),
    unlessNone(bytes, (bytes / 1e6).toFixed(bytes < 1e7 ? 2 : 0)),
    unlessNone(bytes, giga(bytes / seconds)),
    roofline === null ? '' : percent(roofline),
    ...(byShape ? [shapes] : []),
  ]
}

function phaseRows(operations: readonly ProfiledOperation[], whole: number): string[][] {
  const phases = [...new Set(operations.map(({ phase }) => phase))]
  return phases.map((phase) => {
    const seconds = operations.reduce((sum, one) => sum + (one.phase === phase ? one.seconds : 0), 0)
    return [phase, `${milliseconds(seconds)} ms`, percent(seconds / whole)]
  })
}

function milliseconds(seconds: number): string {
  return (1000 * seconds).toFixed(seconds < 0.1 ? 2 : 0)
}

function percent(share: number): string {
  return `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)} %`
}

function giga(value: number): string {
  const of = value / 1e9
  return of >= 9.995 ? of.toFixed(0) : of.toPrecision(2)
}

function speed(imagesPerSecond: number): string {
  return imagesPerSecond < 10 ? imagesPerSecond.toPrecision(2) : count(imagesPerSecond)
}
