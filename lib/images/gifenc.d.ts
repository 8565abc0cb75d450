/** The part of gifenc 1.0 that `animation.ts` uses; the package has no types. */
declare module 'gifenc' {
  export type Palette = number[][]
  export interface FrameOptions {
    readonly palette?: Palette
    /** Milliseconds; a GIF keeps hundredths of a second. */
    readonly delay?: number
    /** -1 once, 0 forever. Only the first frame's counts. */
    readonly repeat?: number
  }
  export interface Encoder {
    writeFrame(index: Uint8Array, width: number, height: number, options?: FrameOptions): void
    finish(): void
    bytes(): Uint8Array
  }
  export interface Gifenc {
    GIFEncoder(): Encoder
    quantize(rgba: Uint8Array, colors: number, options?: { readonly format?: 'rgb565' | 'rgb444' }): Palette
    applyPalette(rgba: Uint8Array, palette: Palette, format?: 'rgb565' | 'rgb444'): Uint8Array
  }
  const gifenc: Gifenc
  export default gifenc
}
