/**
 * The two orders of an image's bytes. dpm-torch holds images plane by plane (C×H×W), as networks take them; codecs hold
 * them pixel by pixel (H×W×C).
 */

/**
 * Copies one H×W×C image into C×H×W.
 * @param offset where the image starts in `into`; `from` is read from its beginning.
 */
export function toPlanes(from: Uint8Array, channels: number, pixels: number, into: Uint8Array, offset = 0): void {
  for (let channel = 0; channel < channels; channel++) {
    const start = offset + channel * pixels
    for (let pixel = 0, source = channel; pixel < pixels; pixel++, source += channels) {
      into[start + pixel] = from[source] ?? 0
    }
  }
}

/** A copy of one C×H×W image as H×W×C. */
export function toPixels(planes: Uint8Array, channels: number, pixels: number): Uint8Array {
  if (channels === 1) return planes.slice(0, pixels)
  const interleaved = new Uint8Array(channels * pixels)
  for (let channel = 0; channel < channels; channel++) {
    const start = channel * pixels
    for (let pixel = 0, target = channel; pixel < pixels; pixel++, target += channels) {
      interleaved[target] = planes[start + pixel] ?? 0
    }
  }
  return interleaved
}
