#!/usr/bin/env node
/** The executable `dpm-torch`. */
import { runProgram } from './program.js'

for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    // Work under way has something to save first: interrupt.ts. A terminal that is gone reads no error either.
    if (stream.listenerCount('error') > 1 || error.code === 'EIO') return
    // Whoever read our output has left, as `head` does: nothing more is wanted.
    if (error.code === 'EPIPE') process.exit(0)
    throw error
  })
}

void runProgram(process.argv).then((exitCode) => {
  process.exitCode = exitCode
})
