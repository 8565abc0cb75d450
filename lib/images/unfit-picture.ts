/** Why a picture is not used although its file was read: what is the matter with it, and what helps. */
export class UnfitPicture extends Error {
  override readonly name = 'UnfitPicture'
  /** A whole sentence. */
  readonly cure: string
  /** Whether the same picture is refused each time; otherwise this machine was too slow for it. */
  readonly isLasting: boolean

  /** @param reason without a full stop, such as *it has 17,000×17,000 pixels, more than …* */
  constructor(reason: string, cure: string, isLasting = true) {
    super(reason)
    this.cure = cure
    this.isLasting = isLasting
  }
}

/** `12,345`; of numbers that are not whole six digits. */
export function written(value: number): string {
  return Number.isInteger(value) && Math.abs(value) < 1e15
    ? value.toLocaleString('en-US')
    : String(Number(value.toPrecision(6)))
}
