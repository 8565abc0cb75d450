#!/usr/bin/env node
/** The executable `dpm-torch`. */
import { printWarnings, watchOutputs } from './outputs.js'
import { runProgram } from './program.js'

watchOutputs()
printWarnings()

void runProgram(process.argv).then((exitCode) => {
  // Output that was refused is a failure, too.
  process.exitCode = exitCode || process.exitCode
})
