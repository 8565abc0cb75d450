/** Damaged TorchScript modules: what the first look lets through, libtorch reads without a crash and in little memory. */
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

const script = `
const { Network } = await import(process.argv[1])
const { readFileSync, writeFileSync } = await import('node:fs')
const { join } = await import('node:path')
let seed = 7
const below = (limit) => (seed = (seed * 1103515245 + 12345) % 2147483648) % limit
const codes = {}
const path = join(process.argv[3], 'damaged.pt')
for (let round = 0; round < 1000; round++) {
  const whole = Buffer.from(readFileSync(process.argv[2]))
  const kind = below(4)
  if (kind === 0) for (let k = 0; k <= below(4); k++) whole[below(whole.length)] = below(256)
  else if (kind === 1) whole.writeUInt32LE([0, 0xffffffff, 0x7fffffff, 0x100][below(4)], below(whole.length - 4))
  else if (kind === 2) whole[whole.length - 1 - below(1500)] ^= 1 << below(8)
  writeFileSync(path, kind === 3 ? whole.subarray(0, below(whole.length)) : whole)
  const place = { image: { channels: 1, height: 8, width: 8 }, device: 'cpu', timeType: 'int64' }
  const code = await Network.fromTorchScript(path, place).then((network) => (network.dispose(), 'read'), ({ code }) => String(code))
  codes[code] = (codes[code] ?? 0) + 1
}
console.log(JSON.stringify({ codes, bytes: process.resourceUsage().maxRSS * 1024 }))
`

test('1000 damaged modules', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'dpm-modules-'))
  try {
    const library = new URL('../../dist/index.js', import.meta.url).href
    await writeFile(join(folder, 'script.mjs'), script.replaceAll('process.argv[1]', JSON.stringify(library)))
    const args = [join(folder, 'script.mjs'), 'test/fixtures/torch-script/normed.pt', folder]
    expect((await readFile(args[1] ?? '')).length).toBeGreaterThan(1500)
    const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 1_000_000 })
    const { codes, bytes } = JSON.parse(stdout) as { codes: Record<string, number>; bytes: number }
    expect(Object.keys(codes).filter((code) => code !== 'read' && !code.startsWith('DPM_'))).toEqual([])
    expect(codes['DPM_FILE_INVALID']).toBeGreaterThan(400)
    expect(bytes).toBeLessThan(1.5e9)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
})
