// A worker's other end: does what a line of JSON asks, and answers with one.
import { createInterface } from 'node:readline'

export async function answerRequests(commands) {
  for await (const line of createInterface({ input: process.stdin })) {
    const { command, ...rest } = JSON.parse(line)
    const answer = await commands[command](rest).catch((error) => ({ error: String(error.stack ?? error) }))
    process.stdout.write(`${JSON.stringify(answer)}\n`)
  }
}
