// Draws images from a run one sampler step at a time, and watches how sure the network becomes.
//
//   node examples/sample-step-by-step.mjs [run folder] [picture.png]
import { Diffusion } from 'dpm-torch'

const [run = 'runs/example', picture = 'samples.png'] = process.argv.slice(2)
const model = await Diffusion.load(run)
const classes = model.classes.length > 0 ? { classes: model.classes.map((_, index) => index) } : {}

const steps = model.sampleSteps({ count: 20, sampler: 'ddim', steps: 25, seed: 0, ...classes })
let before
for (;;) {
  const { done, value } = await steps.next()
  if (done) {
    await value.grid({ columns: 10 }).toFile(picture)
    console.log(`wrote ${picture}`)
    break
  }
  // x is the state of the run; clean is the image that the network sees in it. Both are ours to free.
  const pixels = await value.clean.data()
  value.clean.dispose()
  value.x.dispose()
  const change = before?.reduce((sum, pixel, i) => sum + Math.abs(pixel - pixels[i]), 0) / pixels.length
  console.log(
    `step ${value.step} of ${value.steps}: the clean image changed by ${(change ?? NaN).toFixed(4)} per pixel`,
  )
  before = pixels
}
model.dispose()
