/** Runs a few lines of JavaScript in a child process, so that a library that crashes on loading is reported, not suffered. */
import { spawn } from 'node:child_process'

export interface ProbeResult {
  readonly ok: boolean
  /** What the code returned, when `ok`. */
  readonly value: unknown
  /** Why not: the error's message, the signal that ended the child, or its last words. */
  readonly failure: string
}

const mark = 'dpm-probe:'

/**
 * @param code body of a function of `input`; its value (or the value of its promise) is returned as JSON.
 * @param timeoutSeconds a child that hangs is killed and reported.
 */
export function probe(code: string, input: unknown, timeoutSeconds = 60): Promise<ProbeResult> {
  // The argument travels in argv, never in the code: paths may hold quotes.
  const script =
    `const input = JSON.parse(process.argv[1]);` +
    `(async () => { ${code} })().then(` +
    `(value) => { process.stdout.write('\\n${mark}' + JSON.stringify({ ok: true, value: value ?? null })) },` +
    `(error) => { process.stdout.write('\\n${mark}' + JSON.stringify({ ok: false, failure: String(error.message) })) })`
  const child = spawn(process.execPath, ['--input-type=commonjs', '-e', script, '--', JSON.stringify(input)], {
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: timeoutSeconds * 1000,
    killSignal: 'SIGKILL',
    env: { ...process.env, NODE_OPTIONS: '' },
  })
  let output = ''
  let complaint = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaint += text
  })
  return new Promise((resolve) => {
    child.on('error', (error) => resolve({ ok: false, value: null, failure: error.message }))
    child.on('close', (exitCode, signal) => {
      const at = output.lastIndexOf(mark)
      const answer =
        at < 0
          ? null
          : (JSON.parse(output.slice(at + mark.length)) as { ok: boolean; value?: unknown; failure?: string })
      const last = complaint.trim().split('\n').at(-1) ?? ''
      if (signal === 'SIGKILL')
        return resolve({ ok: false, value: null, failure: `it did not answer in ${timeoutSeconds} s` })
      // A crash while the process ends counts too: the user's own process would crash there.
      if (signal !== null)
        return resolve({ ok: false, value: null, failure: `it crashed with ${signal}. ${last}`.trim() })
      if (!answer) return resolve({ ok: false, value: null, failure: last || `it ended with exit code ${exitCode}` })
      resolve({ ok: answer.ok, value: answer.value ?? null, failure: answer.failure ?? '' })
    })
  })
}
