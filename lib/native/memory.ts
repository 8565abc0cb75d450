/** What native handles of this thread are alive: none, when everything was disposed of. */
import type { NativeMemory } from './binding.js'
import { callSync } from './call.js'

export function memory(): NativeMemory {
  return callSync((binding) => binding.memory())
}
