/** Imports a file that another program would have written, and holds settings and outputs to its fixture. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, expect } from 'vitest'
import { importCheckpoint } from '../../lib/checkpoints/import/import-checkpoint.js'
import { type LoadedModel, loadModel } from '../../lib/generation/load-model.js'
import type { ModelSettings } from '../../lib/generation/model-options.js'
import { Images } from '../../lib/images/image-batch.js'
import { memory } from '../../lib/native/memory.js'
import { parseAssignment } from '../../lib/options/assign.js'
import { Tensor } from '../../lib/tensor/tensor.js'
import type { ImportFixture } from './import-fixture.js'
import { decodeFloats, distance, drawImages } from './network-fixture.js'

/** A float32 network against a float64 reference. */
const tolerance = 1e-5

export interface Expected {
  readonly format: string
  /** Of the settings, what the importer had to find out. */
  readonly settings: { readonly [Part in keyof ModelSettings]?: object | string }
  readonly classes?: number
  readonly step: number
  /** The copy of the fixture in `network`, and those in `average.0` … */
  readonly copies: readonly string[]
}

/** A folder for the tests of a file. */
export class ImportFolder {
  #path = ''

  constructor(name: string) {
    beforeAll(async () => {
      this.#path = await mkdtemp(join(tmpdir(), `dpm-${name}-`))
    })
    afterAll(async () => {
      await rm(this.#path, { recursive: true })
      expect(memory()).toMatchObject({ tensors: 0, networks: 0 })
    })
  }

  file(name: string): string {
    return join(this.#path, name)
  }

  async write(name: string, bytes: Buffer): Promise<string> {
    const path = this.file(name)
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, bytes)
    return path
  }

  /** Imports what `write` left, and holds settings and every copy's output to the fixture. @returns the checkpoint */
  async hold(fixture: ImportFixture, source: string, expected: Expected): Promise<string> {
    const out = this.file('imported.safetensors')
    const report = await importCheckpoint(source, { out, set: setOf(fixture) })
    expect(report.format).toBe(expected.format)
    expect(report.copies).toEqual(expected.copies.map((_, index) => (index === 0 ? 'network' : `average.${index - 1}`)))
    for (const [index, copy] of expected.copies.entries()) {
      const model = await loadModel(out, { device: 'cpu', weights: index === 0 ? 'trained' : index - 1 })
      using _ = model.network
      expect(model.settings).toMatchObject(expected.settings)
      expect(model).toMatchObject({ image: fixture.image, step: expected.step })
      expect(model.classes).toHaveLength(expected.classes ?? 0)
      const { l2, largest } = distance(await outputOf(model, fixture), decodeFloats(fixture.outputs[copy] ?? ''))
      expect(l2, copy).toBeLessThan(tolerance)
      expect(largest, copy).toBeLessThan(tolerance)
    }
    return out
  }
}

export function setOf({ set }: ImportFixture): ReturnType<typeof parseAssignment>[] {
  return Object.entries(set).map(([name, value]) => parseAssignment(`${name}=${JSON.stringify(value)}`))
}

async function outputOf({ network, condition }: LoadedModel, fixture: ImportFixture): Promise<Float32Array> {
  const { channels, height, width } = fixture.image
  const shape = [fixture.labels.length, channels, height, width]
  using x = Tensor.from(drawImages('input', shape), shape)
  const seen = [fixture.labels.length, fixture.condition, height, width]
  using drawn = Tensor.from(drawImages('objective', seen), seen)
  const { lowResolution } = fixture
  const picture = condition?.picture ?? fixture.image
  const small = [fixture.labels.length, picture.channels, picture.height, picture.width] as const
  using enlarged =
    lowResolution && condition?.ofPictures(new Images(Uint8Array.from(lowResolution), small), fixture.labels.length)
  const image = enlarged ?? (fixture.condition > 0 ? drawn : undefined)
  using pass = await network.forward(x, fixture.labels, {
    ...(fixture.classIndices ? { classes: fixture.classIndices } : {}),
    image,
    gradient: false,
  })
  using output = pass.output
  return output.data()
}
