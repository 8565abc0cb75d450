/** Folders as diffusers writes them, made without it: weights drawn by our names, stored under its own. */
import { createHash } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { diffusersNames } from '../../lib/checkpoints/diffusers/parameter-names.js'
import { type TensorSource, writeSafetensors } from '../../lib/checkpoints/safetensors.js'
import { drawParameter, elementCount } from './network-fixture.js'

export interface Named {
  readonly name: string
  readonly shape: readonly number[]
}

/** The state dict: of one of our parameters, the equal parts of its rows. @param outputGain of the last convolution */
export function stateDict(parameters: readonly Named[], levels: number, outputGain = 1): Map<string, StateTensor> {
  const state = new Map<string, StateTensor>()
  for (const { name, shape } of parameters) {
    const names = diffusersNames(name, levels)
    const [rows = 1, ...rest] = shape
    const size = elementCount(shape) / names.length
    const gain = name.startsWith('output.conv.') ? outputGain : 1
    const values = drawParameter(name, shape).map((value) => gain * value)
    names.forEach((theirs, part) => {
      state.set(theirs, {
        shape: [rows / names.length, ...rest],
        values: values.slice(part * size, (part + 1) * size),
      })
    })
  }
  return state
}

export interface StateTensor {
  readonly shape: readonly number[]
  readonly values: Float32Array
}

/** What `make_diffusers_fixtures.py` makes of diffusers' own. */
export function digest(state: ReadonlyMap<string, { readonly shape: readonly number[] }>): string {
  const lines = [...state].map(([name, { shape }]) => `${name} ${shape.join('x')}\n`).sort()
  return createHash('sha256').update(lines.join('')).digest('hex')
}

export async function writeState(path: string, state: ReadonlyMap<string, StateTensor>): Promise<void> {
  const sources = [...state].map(
    ([name, { shape, values }]): TensorSource => ({
      name,
      dtype: 'F32',
      shape,
      read: async () => new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
    }),
  )
  await writeSafetensors(path, sources, { format: 'pt' })
}

/** Files by their path in the folder; objects are written as JSON. */
export async function writeFolder(folder: string, files: Readonly<Record<string, object>>): Promise<string> {
  for (const [name, content] of Object.entries(files)) {
    const path = join(folder, name)
    await mkdir(join(path, '..'), { recursive: true })
    if (content instanceof Map) await writeState(path, content)
    else await writeFile(path, content instanceof Uint8Array ? content : JSON.stringify(content))
  }
  return folder
}

export const weightsFile = 'diffusion_pytorch_model.safetensors'
