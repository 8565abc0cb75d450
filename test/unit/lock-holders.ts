/** Processes that take a run folder's lock again and again, and are killed now and then: what the lock must stand. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const lockModule = new URL('../../dist/training/run-lock.js', import.meta.url)

/** `held` names the process that believes to hold the lock; another live one there is a second holder. */
const script = `
import { readFileSync, unlinkSync, writeFileSync } from 'node:fs'
import promises from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
const [folder, count, linkless] = process.argv.slice(1)
if (linkless === 'true') {
  promises.link = async () => { throw Object.assign(new Error('no links here'), { code: 'EPERM' }) }
  syncBuiltinESMExports()
}
const { RunLock } = await import(${JSON.stringify(lockModule.href)})
const held = folder + '.held'
// A zombie was killed: it holds nothing.
const alive = (pid) => {
  try { return pid !== process.pid && !/\\) [ZX] /.test(readFileSync('/proc/' + pid + '/stat', 'utf8')) } catch { return false }
}
const pause = (most) => new Promise((done) => setTimeout(done, Math.random() * most))
console.log('ready')
for (let taken = 0; taken < Number(count); ) {
  let lock
  try { lock = await RunLock.acquire(folder) } catch (error) {
    if (error.code !== 'DPM_RUN_LOCKED') { console.log('error', error.stack); process.exit(1) }
    await pause(4)
    continue
  }
  taken += 1
  let before = 0
  try { before = Number(readFileSync(held, 'utf8')) } catch {}
  if (before && alive(before)) { console.log('two', before, process.pid); process.exit(1) }
  writeFileSync(held, String(process.pid))
  await pause(3)
  const now = Number(readFileSync(held, 'utf8'))
  if (now !== process.pid) { console.log('two', now, process.pid); process.exit(1) }
  unlinkSync(held)
  lock.release()
  await pause(1)
}
`

export interface HoldersEnd {
  /** What was wrong, as the processes say it. */
  readonly faults: readonly string[]
  readonly kills: number
}

/**
 * @param count acquisitions of each process. @param kills processes that are killed, each replaced by another.
 * @param linkless whether hard links are refused, as on FAT.
 */
export async function contend(
  folder: string,
  options: { readonly processes: number; readonly count: number; readonly kills: number; readonly linkless: boolean },
): Promise<HoldersEnd> {
  if (!existsSync(fileURLToPath(lockModule))) throw new Error('dist/ is missing: node scripts/prepare.mjs')
  const faults: string[] = []
  let killed = 0
  const run = async (): Promise<void> => {
    const child: ChildProcess = spawn(
      process.execPath,
      ['--input-type=module', '--eval', script, folder, String(options.count), String(options.linkless)],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    )
    let output = ''
    child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
      output += chunk
    })
    const end = once(child, 'close')
    const again = killed < options.kills
    if (again) {
      killed += 1
      await Promise.race([end, once(child.stdout ?? child, 'data')])
      await new Promise((done) => setTimeout(done, Math.random() * 150))
      child.kill('SIGKILL')
    }
    const [code] = (await end) as [number | null]
    if (code !== null && code !== 0) output += `error: exit code ${code}\n`
    const fault = output.split('\n').find((line) => /^(two|error)/.test(line))
    if (fault) faults.push(fault)
    if (again) await run()
  }
  await Promise.all(Array.from({ length: options.processes }, run))
  return { faults, kills: killed }
}
