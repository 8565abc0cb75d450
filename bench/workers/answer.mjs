// A worker's other end: does what a line of JSON asks, and answers with one.
import { createInterface } from 'node:readline'

export async function answerRequests(commands) {
  for await (const line of createInterface({ input: process.stdin })) {
    const { command, ...rest } = JSON.parse(line)
    const answer = await commands[command](rest).catch((error) => ({ error: String(error.stack ?? error) }))
    process.stdout.write(`${JSON.stringify(answer)}\n`)
  }
}

/** Seconds of the same work done so many times. */
export async function timed(count, work) {
  const seconds = []
  for (let i = 0; i < count; i++) {
    const begin = performance.now()
    await work()
    seconds.push((performance.now() - begin) / 1000)
  }
  return { seconds }
}

/** diffusers' configuration as options of our `unet-2d`, and what of it the data says. */
export function networkOf({ sample_size: size, num_class_embeds: rows = 0, ...options }) {
  const camel = (name) => name.replace(/_(\w)/g, (_, letter) => letter.toUpperCase())
  const named = Object.fromEntries(Object.entries(options).map(([name, value]) => [camel(name), value]))
  return { size, rows, options: named }
}
