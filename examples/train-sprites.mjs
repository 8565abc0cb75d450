// Trains the sprites recipe, and stops cleanly on Ctrl-C.
//
//   node examples/train-sprites.mjs [run folder] [steps]
import { progressLine, Trainer } from 'dpm-torch'

const [out = 'runs/example', steps] = process.argv.slice(2)
const stop = new AbortController()
process.once('SIGINT', () => stop.abort())

const trainer = await Trainer.create({
  recipe: 'sprites',
  out,
  // Everything that is not said here is the recipe's; `dpm-torch recipes sprites` prints it all.
  ...(steps === undefined ? {} : { budget: { steps: Number(steps) }, previews: { everySteps: 0 } }),
  signal: stop.signal,
})
console.log(
  `${trainer.size} parameters, ${trainer.dataSet.length} images, ${trainer.totalSteps} steps on ${trainer.device}`,
)

try {
  for await (const step of trainer.steps({ signal: stop.signal })) {
    if (step.step % 20 === 0) console.log(progressLine({ ...step, total: step.totalSteps }))
    for (const path of step.written) console.log(`wrote ${path}`)
  }
  // The last checkpoint, a sample grid, and how it came out of noise.
  for (const path of await trainer.finish()) console.log(`wrote ${path}`)
} catch (error) {
  if (error.name !== 'AbortError') throw error
  console.log(`stopped; go on from ${await trainer.checkpoint()} with { resume: true, out: '${out}' }`)
} finally {
  await trainer.close()
}
