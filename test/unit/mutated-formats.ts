/** Every format that is read from elsewhere: a whole file of it, and how all of it is read. What damages it is `mutation.ts`. */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { zipSync } from 'fflate'
import { openArchive } from '../../lib/checkpoints/archives/open-archive.js'
import { openTorchLegacy } from '../../lib/checkpoints/archives/torch-legacy-archive.js'
import { openTorchZip } from '../../lib/checkpoints/archives/torch-zip-archive.js'
import { Checkpoint, writeCheckpointTo } from '../../lib/checkpoints/checkpoint.js'
import { readScheduler } from '../../lib/checkpoints/diffusers/scheduler-config.js'
import { optionsOfConfig, unetConfigSchema } from '../../lib/checkpoints/diffusers/unet-config.js'
import { ImportSource } from '../../lib/checkpoints/import/import-source.js'
import { contentText } from '../../lib/checkpoints/import/known-contents.js'
import { importers } from '../../lib/checkpoints/import/list.js'
import { dataSchema, openDataSet } from '../../lib/datasets/list.js'
import { NpyFile } from '../../lib/datasets/npy.js'
import { openZip } from '../../lib/files/zip-archive.js'
import { networkSchema } from '../../lib/networks/list.js'
import { checkModuleFile } from '../../lib/networks/module-file.js'
import { parseOptions } from '../../lib/options/options.js'
import { craft } from './crafted-zip.js'
import { mutatedData } from './mutated-data.js'
import { mutatedPictures } from './mutated-pictures.js'
import { SavedTensor, torchLegacy } from './torch-writer.js'

/** Reads all that is in a file. @returns the largest number of bytes that one part of it took; 0 where that has no bound. */
type Read = (path: string) => Promise<number>

export interface MutatedFormat {
  readonly name: string
  /** A whole file. */
  readonly make: () => Promise<Uint8Array>
  /** The file is alone in its folder. */
  readonly read: Read
  /** Of the file's name, where readers go by it: `.csv`. */
  readonly ending?: string
  /** Makes the checksums of a damaged file right again, so that the damage goes further into its reader. */
  readonly mend?: (bytes: Buffer) => Buffer
  /** A reading takes so many times as long as one of a small file: so many times fewer are tried. Default 1. */
  readonly cost?: number
}

const fixture = (name: string): Promise<Buffer> =>
  readFile(fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url)))

const readArchive =
  (open: typeof openArchive): Read =>
  async (path) => {
    await using archive = await open(path)
    let largest = 0
    for (const tensor of archive.tensors.values()) largest = Math.max(largest, (await tensor.read()).byteLength)
    return largest
  }

const readNpy: Read = async (path) => {
  const file = await NpyFile.open(path)
  try {
    return (await file.readItems(0, file.length)).byteLength
  } finally {
    await file.close()
  }
}

const readCheckpoint: Read = async (path) => {
  await using checkpoint = await Checkpoint.open(path)
  let largest = 0
  for (const name of checkpoint.names()) largest = Math.max(largest, (await checkpoint.read(name)).byteLength)
  return largest
}

const readZip: Read = async (path) => {
  const zip = await openZip(path)
  try {
    for (const entry of zip.entries) await zip.read(entry)
  } finally {
    await zip.close()
  }
  return 0
}

/** Of a data set: the elements of all its examples. */
const readData =
  (options: (path: string) => Readonly<Record<string, unknown>>): Read =>
  async (path) => {
    const dataSet = await openDataSet(parseOptions(dataSchema, options(path), 'test'))
    try {
      return dataSet.length * dataSet.channels * dataSet.height * dataSet.width
    } finally {
      await dataSet.close()
    }
  }

const readIdx = readData((images) => ({ kind: 'idx', images }))
const readTable = readData((file) => ({ kind: 'table', file }))
const readLabelled = readData((file) => ({ kind: 'table', file, classColumn: 'label' }))

/** Six 64-bit numbers, as NumPy writes them. */
const npy = Buffer.concat([
  Buffer.from('\x93NUMPY\x01\0\x76\0', 'latin1'),
  Buffer.from("{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3), }".padEnd(117)),
  Buffer.from('\n'),
  Buffer.from(Float64Array.of(1, 2, 3, 4, 5, 6).buffer),
])

/** Two 3×4 images. */
const idx = Buffer.concat([Buffer.from('00000803000000020000000300000004', 'hex'), Buffer.alloc(24, 7)])

const csv = Buffer.from('\ufeffx,"y ""1""",label\r\n1,2.5,a\r\n-3e2,"4",b\r\n\r\n5,6,"a"\n.5,7,b')

async function ownCheckpoint(): Promise<Uint8Array> {
  const folder = await mkdtemp(join(tmpdir(), 'dpm-own-'))
  try {
    const path = join(folder, 'own.safetensors')
    const bytes = new Uint8Array(Float32Array.of(1, 2, 3, 4, 5, 6).buffer)
    await writeCheckpointTo(path, {
      settings: { name: 'x', list: [1, { deep: true }] },
      progress: { step: 3 },
      classes: ['a', 'b'],
      image: { channels: 3, height: 8, width: 8 },
      tensors: ['network.w', 'average.0.w'].map((name) => ({
        name,
        dtype: 'float32',
        shape: [2, 3],
        read: async () => bytes,
      })),
    })
    return await readFile(path)
  } finally {
    await rm(folder, { recursive: true })
  }
}

/** As an import looks at it: whether it is of any format, and what it is where it is of none. */
const recogniseWeights: Read = async (path) => {
  await using source = await ImportSource.open(path)
  for (const importer of Object.values(importers)) await importer.recognises(source)
  await contentText(source)
  return 0
}

/** A milestone of denoising-diffusion-pytorch in little: a network and its average, an optimizer, plain values. */
const milestone = (): Buffer => {
  const tensor = new SavedTensor(Float32Array.of(1, 2, 3, 4), [2, 2])
  const names = ['init_conv.weight', 'time_mlp.1.weight', 'mid_block1.block1.proj.weight', 'final_conv.weight']
  const network = new Map(names.map((name) => [`module.model.${name}`, tensor]))
  const opt = { state: { 0: { step: 3, exp_avg: tensor } }, param_groups: [{ lr: 1e-4, betas: [0.9, 0.99] }] }
  return torchLegacy({
    step: 7,
    model: network,
    ema: { ema_model: network, online_model: network },
    opt,
    version: '2.0',
  })
}

/** A configuration in a folder of diffusers. */
const readConfiguration =
  (use: (config: unknown, path: string) => void): Read =>
  async (path) => {
    await using source = await ImportSource.open(dirname(path))
    use(await source.json(basename(path)), path)
    return 0
  }

const schedulerConfig = {
  _class_name: 'DDPMScheduler',
  num_train_timesteps: 50,
  beta_start: 0.0001,
  beta_end: 0.02,
  beta_schedule: 'linear',
  variance_type: 'fixed_small',
  clip_sample: true,
  prediction_type: 'epsilon',
  trained_betas: null,
}
const unetConfig = {
  _class_name: 'UNet2DModel',
  sample_size: 8,
  in_channels: 3,
  block_out_channels: [8, 16],
  down_block_types: ['DownBlock2D', 'AttnDownBlock2D'],
  up_block_types: ['AttnUpBlock2D', 'UpBlock2D'],
  layers_per_block: 1,
  norm_num_groups: 4,
  norm_eps: 1e-5,
}

export const mutatedFormats: readonly MutatedFormat[] = [
  { name: 'safetensors', make: () => fixture('safetensors/python.safetensors'), read: readArchive(openArchive) },
  { name: 'checkpoints', make: ownCheckpoint, read: readCheckpoint },
  { name: 'PyTorch', make: () => fixture('torch-files/views.pt'), read: readArchive(openTorchZip) },
  {
    name: 'PyTorch before 1.6',
    make: () => fixture('torch-files/training-legacy.pt'),
    read: readArchive(openTorchLegacy),
  },
  {
    // What is looked at before libtorch is handed it; its own reading is `test/slow/module-mutations.test.ts`.
    name: 'TorchScript',
    make: () => fixture('torch-script/unnamed.pt'),
    read: async (path) => {
      await checkModuleFile(path)
      return 0
    },
  },
  { name: 'milestones', make: async () => milestone(), read: recogniseWeights },
  {
    name: 'schedulers of diffusers',
    make: async () => Buffer.from(JSON.stringify(schedulerConfig)),
    read: readConfiguration((config, path) => readScheduler(config, undefined, path)),
    ending: '.json',
  },
  {
    name: 'networks of diffusers',
    make: async () => Buffer.from(JSON.stringify(unetConfig)),
    read: readConfiguration((config, path) => {
      parseOptions(networkSchema, optionsOfConfig(parseOptions(unetConfigSchema, config, path)), path)
    }),
    ending: '.json',
  },
  { name: 'npy', make: async () => npy, read: readNpy },
  { name: 'npy, as a table', make: async () => npy, read: readTable, ending: '.npy' },
  { name: 'csv', make: async () => csv, read: readLabelled, ending: '.csv' },
  { name: 'idx', make: async () => idx, read: readIdx },
  { name: 'idx, gzipped', make: async () => gzipSync(idx), read: readIdx },
  {
    name: 'ZIP64',
    make: async () => craft([{ name: 'a', data: Buffer.alloc(40, 'text'), wide: true }], true),
    read: readZip,
  },
  {
    name: 'zip',
    make: async () => zipSync({ 'a/b': [new Uint8Array(300), { level: 9 }], c: [Buffer.from('text'), { level: 0 }] }),
    read: readZip,
  },
  ...mutatedData,
  ...mutatedPictures,
]
