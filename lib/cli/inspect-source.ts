/** What `inspect` prints of weights that are no checkpoint of ours: a file of any format, or a folder of a model. */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { TensorArchive } from '../checkpoints/archives/tensor-archive.js'
import { ImportSource } from '../checkpoints/import/import-source.js'
import { dtypeBytes } from '../checkpoints/safetensors-header.js'
import { showBytes } from '../libtorch/progress.js'
import type { CommonFlags } from './flags.js'
import { printLine } from './print-line.js'
import { columns, count, tensorLines } from './words.js'

/** So many of the plain values of a file are printed. */
const listedValues = 40

/** Whether a path is something else than a run or a checkpoint of ours. */
export async function isForeign(path: string): Promise<boolean> {
  await using source = await ImportSource.open(path)
  if (!source.isFolder) return (await source.archive()).values.get('format') !== 'dpm-torch'
  if (source.names.includes('model_index.json')) return true
  const config = source.names.includes('config.json') ? await source.json('config.json') : undefined
  return typeof config === 'object' && config !== null && '_class_name' in config
}

export async function inspectSource(path: string, flags: CommonFlags): Promise<void> {
  await using source = await ImportSource.open(path)
  const formats = source.isFolder ? [] : [await formatOf(source)]
  const archives = source.isFolder
    ? await Promise.all((await weightFiles(source)).map((name) => source.archive(name)))
    : [await source.archive()]
  const configurations = source.isFolder ? await configurationsOf(source) : {}
  if (flags.json) {
    const files = archives.map((archive) => ({
      path: archive.path,
      format: archive.format,
      values: Object.fromEntries(archive.values),
      tensors: [...archive.tensors.values()].map(({ name, dtype, shape }) => ({ name, dtype, shape })),
    }))
    printLine(JSON.stringify({ path, importer: formats[0] ?? null, configurations, files }))
    return
  }
  for (const [name, configuration] of Object.entries(configurations)) {
    printLine(`${join(path, name)}\n${JSON.stringify(configuration, null, 2)}\n`)
  }
  for (const archive of archives) printArchive(archive, formats[0])
}

function printArchive(archive: TensorArchive, importer: string | undefined): void {
  const { path, format, tensors, values } = archive
  const all = [...tensors.values()]
  const numbers = all.map(({ shape }) => shape.reduce((product, size) => product * size, 1))
  const bytes = all.reduce((sum, { dtype }, index) => sum + (numbers[index] ?? 0) * dtypeBytes[dtype], 0)
  printLine(`${path}: ${format}, not a checkpoint of dpm-torch`)
  const total = numbers.reduce((sum, one) => sum + one, 0)
  printLine(`  ${count(total)} numbers in ${count(all.length)} tensors, ${showBytes(bytes)}`)
  if (importer !== undefined) printLine(`  \`dpm-torch import\` reads it as ${importer}`)
  const rows = [...values].slice(0, listedValues).map(([name, value]) => {
    const text = String(value)
    return [name, text.length > 200 ? `${text.slice(0, 200)}…` : text]
  })
  for (const line of columns(rows)) printLine(`  ${line}`)
  if (values.size > listedValues) printLine(`  … and ${count(values.size - listedValues)} more values`)
  printLine('')
  for (const line of tensorLines(all)) printLine(line)
}

/** The importer that would read it, if one can be told by looking. */
async function formatOf(source: ImportSource): Promise<string | undefined> {
  const { importers } = await import('../checkpoints/import/list.js')
  for (const importer of Object.values(importers)) if (await importer.recognises(source)) return importer.name
  return undefined
}

/** Files of the folder and of the folders in it, one level deep, as diffusers keeps a model. */
async function filesOf(source: ImportSource, ending: RegExp): Promise<string[]> {
  const entries = await readdir(source.path, { withFileTypes: true })
  const inside = await Promise.all(
    entries
      .filter((entry) => entry.isDirectory())
      .map(async ({ name }) => (await readdir(join(source.path, name))).map((file) => join(name, file))),
  )
  const own = entries.filter((entry) => entry.isFile()).map(({ name }) => name)
  return [...own, ...inside.flat()].filter((name) => ending.test(name)).sort()
}

const weightFiles = (source: ImportSource): Promise<string[]> => filesOf(source, /\.(safetensors|bin|pt|pth)$/)

async function configurationsOf(source: ImportSource): Promise<Readonly<Record<string, unknown>>> {
  const names = await filesOf(source, /(^|\/)(model_index|config|scheduler_config)\.json$/)
  return Object.fromEntries(await Promise.all(names.map(async (name) => [name, await source.json(name)])))
}
