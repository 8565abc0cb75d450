import type sharp from 'sharp'
import { DpmError } from '../errors.js'

/**
 * Sharp, loaded when a picture is first needed: its libvips takes longer to open than all of dpm-torch's own code, and
 * many programs never touch a picture.
 * @throws DpmError DPM_PLATFORM_UNSUPPORTED when sharp has no binary for this machine.
 */
export async function loadSharp(): Promise<typeof sharp> {
  try {
    return (await import('sharp')).default
  } catch (error) {
    throw new DpmError(
      'DPM_PLATFORM_UNSUPPORTED',
      'The image library sharp cannot be loaded on this machine. Run `npm install sharp` and read what it says.',
      { cause: error },
    )
  }
}
