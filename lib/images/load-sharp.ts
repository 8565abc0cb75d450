import type sharp from 'sharp'
import { DpmError } from '../errors.js'

/** Of this environment, once a picture was needed. */
const state: { opened?: Promise<typeof sharp> } = {}

/**
 * Sharp, loaded when a picture is first needed: its libvips takes longer to open than all of dpm-torch's own code, and
 * many programs never touch a picture. Its cache of operations is turned off then, once: no picture is asked for twice
 * in a row, and remembering took a fifth of the time of decoding. Who wants it back calls `sharp.cache()` afterwards.
 * @throws DpmError DPM_PLATFORM_UNSUPPORTED when sharp has no binary for this machine.
 */
export function loadSharp(): Promise<typeof sharp> {
  state.opened ??= open()
  return state.opened
}

async function open(): Promise<typeof sharp> {
  try {
    const loaded = (await import('sharp')).default
    loaded.cache(false)
    return loaded
  } catch (error) {
    throw new DpmError(
      'DPM_PLATFORM_UNSUPPORTED',
      'The image library sharp cannot be loaded on this machine. Run `npm install sharp` and read what it says.',
      { cause: error },
    )
  }
}
