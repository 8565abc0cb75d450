// A folder of JPEGs with what photographs have: the spectrum of natural images (amplitude falls as 1 / frequency), edges,
// ImageNet's usual sizes, and files of some 100 KB.
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'

/**
 * Width × height, some of those that ImageNet has most of. Brought to 64 pixels they give whole, even numbers of pixels:
 * of 4 : 3 the crop would lie half a pixel off the middle, on one side in Pillow and on the other in libvips.
 */
const sizes = [
  [500, 333],
  [500, 400],
  [333, 500],
  [500, 500],
]
/** Of the fields, pixels: a power of two. */
const side = 1024

/** The same numbers everywhere (Marsaglia's xorshift). */
function numbers(seed) {
  let state = (seed * 2654435761 + 1) >>> 0 || 1
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    state >>>= 0
    return state / 2 ** 32
  }
}

/** Noise of octaves on a torus, 0 … 1: smooth at every scale, half as strong at half the size. */
function field(seed) {
  const next = numbers(seed)
  const sum = new Float32Array(side * side)
  for (let cells = 4, strength = 1; cells <= side; cells *= 2, strength *= 0.74) {
    const grid = Float32Array.from({ length: cells * cells }, () => (next() - 0.5) * strength)
    const cell = side / cells
    for (let y = 0; y < side; y++) {
      const [top, down] = place(y / cell)
      const rows = [(top % cells) * cells, ((top + 1) % cells) * cells]
      for (let x = 0; x < side; x++) {
        const [start, right] = place(x / cell)
        const end = (start + 1) % cells
        const above = grid[rows[0] + start] * (1 - right) + grid[rows[0] + end] * right
        const below = grid[rows[1] + start] * (1 - right) + grid[rows[1] + end] * right
        sum[y * side + x] += above * (1 - down) + below * down
      }
    }
  }
  return sum
}

function place(position) {
  const whole = Math.floor(position)
  const part = position - whole
  return [whole, part * part * (3 - 2 * part)]
}

/** One picture: light and two colours from three shifted fields, and some discs, whose edges are sharp. */
function paint([light, warm, green], seed, width, height) {
  const next = numbers(seed + 1)
  const shift = () => Math.floor(next() * side)
  const [x1, y1, x2, y2, x3, y3] = [shift(), shift(), shift(), shift(), shift(), shift()]
  const at = (x, y) => ((y & (side - 1)) * side + (x & (side - 1))) | 0
  const discs = Array.from({ length: 6 }, () => ({
    x: next() * width,
    y: next() * height,
    radius: 20 + next() * 90,
    colour: [next() * 160 - 80, next() * 160 - 80, next() * 160 - 80],
  }))
  const pixels = new Uint8ClampedArray(width * height * 3)
  for (let y = 0, to = 0; y < height; y++) {
    for (let x = 0; x < width; x++, to += 3) {
      const base = 128 + 150 * light[at(x + x1, y + y1)]
      const [a, b] = [60 * warm[at(x + x2, y + y2)], 40 * green[at(x + x3, y + y3)]]
      pixels[to] = base + a
      pixels[to + 1] = base + b
      pixels[to + 2] = base - a
    }
  }
  for (const { x, y, radius, colour } of discs) {
    for (let row = Math.max(0, Math.ceil(y - radius)); row < Math.min(height, y + radius); row++) {
      const half = Math.sqrt(radius ** 2 - (row - y) ** 2)
      for (let column = Math.max(0, Math.ceil(x - half)); column < Math.min(width, x + half); column++)
        for (let c = 0; c < 3; c++) pixels[(row * width + column) * 3 + c] += colour[c]
    }
  }
  return pixels
}

/**
 * Writes `count` pictures into `folder`, in as many sub-folders as there are classes.
 * @returns the bytes of all files.
 */
export async function makePictures(folder, count, classes = 4) {
  const { default: sharp } = await import('sharp')
  const fields = [1, 2, 3].map(field)
  const names = Array.from({ length: classes }, (_, i) => join(folder, `class-${i}`))
  for (const name of names) await mkdir(name, { recursive: true })
  let bytes = 0
  for (let i = 0; i < count; i++) {
    const [width, height] = sizes[i % sizes.length]
    const pixels = paint(fields, i, width, height)
    const path = join(names[i % classes], `${String(i).padStart(4, '0')}.jpg`)
    const { size } = await sharp(pixels, { raw: { width, height, channels: 3 } })
      .jpeg({ quality: 95 })
      .toFile(path)
    bytes += size
  }
  return bytes
}
