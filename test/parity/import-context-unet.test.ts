/** The course's state dict, made of the network's own fixture under the course's names, computes the fixture's numbers. */
import { expect, test } from 'vitest'
import { importCheckpoint } from '../../lib/checkpoints/import/import-checkpoint.js'
import { loadModel } from '../../lib/generation/load-model.js'
import { parseAssignment } from '../../lib/options/assign.js'
import { Tensor } from '../../lib/tensor/tensor.js'
import { type Saved, SavedTensor, torchZip } from '../unit/torch-writer.js'
import { ImportFolder } from './hold-import.js'
import { decodeFloats, distance, drawImages, drawParameter, readNetworkFixture } from './network-fixture.js'

const folder = new ImportFolder('import-context-unet')

type Block = readonly [string, string]

/** Our name and the course's, layer by layer, as its classes are written. */
const blocks: readonly Block[] = [
  ['input', 'init_conv'],
  ['down.0.blocks.0', 'down1.model.0'],
  ['down.0.blocks.1', 'down1.model.1'],
  ['down.1.blocks.0', 'down2.model.0'],
  ['down.1.blocks.1', 'down2.model.1'],
  ['up.1.blocks.0', 'up1.model.1'],
  ['up.1.blocks.1', 'up1.model.2'],
  ['up.0.blocks.0', 'up2.model.1'],
  ['up.0.blocks.1', 'up2.model.2'],
]
const layers: readonly Block[] = [
  ['up.start.conv', 'up0.0'],
  ['up.start.norm', 'up0.1'],
  ['up.1.enlarge', 'up1.model.0'],
  ['up.0.enlarge', 'up2.model.0'],
  ['time.1.in', 'timeembed1.model.0'],
  ['time.1.out', 'timeembed1.model.2'],
  ['time.0.in', 'timeembed2.model.0'],
  ['time.0.out', 'timeembed2.model.2'],
  ['context.1.in', 'contextembed1.model.0'],
  ['context.1.out', 'contextembed1.model.2'],
  ['context.0.in', 'contextembed2.model.0'],
  ['context.0.out', 'contextembed2.model.2'],
  ['output.conv1', 'out.0'],
  ['output.norm', 'out.1'],
  ['output.conv2', 'out.3'],
  ['input.shortcut', 'init_conv.shortcut'],
]
const theirs = new Map<string, string>([
  ...layers.flatMap(([ours, course]): Block[] =>
    ['weight', 'bias'].map((kind) => [`${ours}.${kind}`, `${course}.${kind}`]),
  ),
  ...blocks.flatMap(([ours, course]): Block[] =>
    [1, 2].flatMap((index): Block[] => [
      [`${ours}.conv${index}.weight`, `${course}.conv${index}.0.weight`],
      [`${ours}.conv${index}.bias`, `${course}.conv${index}.0.bias`],
      [`${ours}.norm${index}.weight`, `${course}.conv${index}.1.weight`],
      [`${ours}.norm${index}.bias`, `${course}.conv${index}.1.bias`],
      [`${ours}.norm${index}.mean`, `${course}.conv${index}.1.running_mean`],
      [`${ours}.norm${index}.variance`, `${course}.conv${index}.1.running_var`],
    ]),
  ),
])

const counter = (): SavedTensor => new SavedTensor(BigInt64Array.of(3n), [], 'LongStorage')

/** The file of a fixture; the norms' counters are there, as PyTorch keeps them. */
function course(fixtureName: string, without = ''): ReadonlyMap<string, Saved> {
  const saved = new Map<string, Saved>()
  for (const { name, shape } of readNetworkFixture('context-unet', fixtureName).parameters) {
    if (without !== '' && name.startsWith(without)) continue
    const course = theirs.get(name)
    if (course === undefined) throw new Error(`no name for ${name}`)
    saved.set(course, new SavedTensor(drawParameter(name, shape), shape))
    if (course.endsWith('.running_var')) saved.set(course.replace('running_var', 'num_batches_tracked'), counter())
  }
  return saved
}

/** How far the imported network's output is from the fixture's. */
async function distanceOf(path: string, fixtureName: string): Promise<number> {
  const fixture = readNetworkFixture('context-unet', fixtureName)
  const shape = [fixture.labels.length, fixture.image.channels, fixture.image.height, fixture.image.width]
  const model = await loadModel(path, { device: 'cpu' })
  using network = model.network
  using x = Tensor.from(drawImages('input', shape), shape)
  const classes = fixture.classIndices ? { classes: fixture.classIndices } : {}
  using pass = await network.forward(x, fixture.labels, { ...classes, gradient: false })
  return distance(await pass.output.data(), decodeFloats(fixture.output)).l2
}

test.each(['sprites', 'oblong', 'as-wide'])('%s', async (name) => {
  const { image, classes } = readNetworkFixture('context-unet', name)
  const source = await folder.write('context_model_31.pth', torchZip(course(name)))
  const out = folder.file('course.safetensors')
  const report = await importCheckpoint(source, { out })
  expect(report.format).toBe('context-unet')
  expect(report.settings).toMatchObject({
    image,
    network: { kind: 'context-unet', courseCompat: false, classConditional: classes > 0 },
    diffusion: {
      prediction: { kind: 'noise' },
      timeLabel: 'fraction',
      variance: 'fixed-large',
      clip: { kind: 'none' },
    },
    sampling: { sampler: { kind: 'ddpm' } },
  })
  expect(report.settings.classes).toHaveLength(classes)
  expect(await distanceOf(out, name)).toBeLessThan(1e-5)
})

test('the shortcut that the course does not keep is drawn once, the same for the same seed, or left out', async () => {
  const source = await folder.write('model_31.pth', torchZip(course('sprites', 'input.shortcut')))
  const imported = async (...set: string[]) => {
    const out = folder.file(`drawn-${set.join()}.safetensors`)
    const { notes, settings } = await importCheckpoint(source, { out, set: set.map(parseAssignment) })
    expect(settings.network).toMatchObject({ courseCompat: true })
    expect(notes.join(' ')).toMatch(/shortcut/)
    const model = await loadModel(out, { device: 'cpu' })
    using network = model.network
    using weight = await network.read('input.shortcut.weight')
    return [...(await weight.data())]
  }
  const [first, again, other, zero] = [
    await imported(),
    await imported('shortcutSeed=0'),
    await imported('shortcutSeed=1'),
    await imported('shortcut=zero'),
  ]
  expect(again).toEqual(first)
  expect(other).not.toEqual(first)
  expect(zero.every((value) => value === 0)).toBe(true)
  const bound = 1 / Math.sqrt(3)
  expect(Math.max(...first.map(Math.abs))).toBeLessThanOrEqual(bound)
  expect(Math.max(...first.map(Math.abs))).toBeGreaterThan(0.8 * bound)
})

test("the noise is the notebook's at every time", async () => {
  const source = await folder.write('model.pth', torchZip(new Map([['state_dict', course('sprites')]])))
  const { settings } = await importCheckpoint(source, {
    out: folder.file('noise.safetensors'),
    set: [parseAssignment('diffusionSteps=50')],
  })
  // In its own words: b = (beta2 - beta1) linspace(0, 1, T + 1) + beta1, ab = exp(cumsum(log(1 - b))), ab[0] = 1.
  const b = Array.from({ length: 51 }, (_, t) => (0.02 - 1e-4) * (t / 50) + 1e-4)
  const { betas } = settings.diffusion.schedule as { readonly betas: readonly number[] }
  let [theirs, ours] = [1 - (b[0] ?? 0), 1]
  for (const [index, beta] of betas.entries()) {
    theirs *= 1 - (b[index + 1] ?? 0)
    ours *= 1 - beta
    expect(ours).toBeCloseTo(theirs, 12)
  }
  expect(betas).toHaveLength(50)
})
