// A process that answers every line of JSON with one.
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

export class Worker {
  #child
  #lines
  #name

  constructor(name, command, words, environment = {}) {
    this.#name = name
    this.#child = spawn(command, words, {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, ...environment },
    })
    this.#child.on('error', () => undefined)
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]()
  }

  /** @throws Error with what the other side said went wrong, or that it is gone. */
  async ask(command, request = {}) {
    this.#child.stdin.write(`${JSON.stringify({ command, ...request })}\n`)
    const { value, done } = await this.#lines.next()
    if (done) throw new Error(`${this.#name} ended without an answer to "${command}".`)
    const answer = JSON.parse(value)
    if (answer.error) throw new Error(`${this.#name}, ${command}: ${answer.error}`)
    return answer
  }

  close() {
    this.#child.stdin.end()
    this.#child.kill()
  }
}
