/** What a server may do to a download: lead elsewhere, send without end, go on at the wrong byte. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { download, SourceError } from '../../lib/libtorch/download.js'

let folder = ''
let servers: Server[] = []
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'dpm-download-'))
})
afterEach(() => {
  vi.unstubAllGlobals()
  for (const server of servers) server.close()
  servers = []
  rmSync(folder, { recursive: true, force: true })
})

async function serve(handle: Parameters<typeof createServer>[1]): Promise<string> {
  const server = createServer(handle)
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** Answers as a server at https addresses would, without certificates. */
function answer(answers: Readonly<Record<string, Response>>): string[] {
  const asked: string[] = []
  vi.stubGlobal('fetch', async (address: URL) => {
    asked.push(address.href)
    return answers[address.href]?.clone() ?? new Response('gone', { status: 404 })
  })
  return asked
}
const leads = (location: string, status = 302): Response => new Response(null, { status, headers: { location } })

const target = (): string => join(folder, 'file')

test.each([301, 302, 303, 307, 308])(
  'https that leads to http is refused (%d), and http is never asked',
  async (status) => {
    const asked = answer({ 'https://a/x': leads('http://b/x', status), 'http://b/x': new Response('evil') })
    await expect(download('https://a/x', target())).rejects.toThrow(/from https:\/\/ to http:\/\/b, which is refused/)
    expect(asked).toEqual(['https://a/x'])
  },
)

test('so is https to http by way of https, and any other scheme', async () => {
  answer({ 'https://a/x': leads('https://b/y'), 'https://b/y': leads('http://c/z') })
  await expect(download('https://a/x', target())).rejects.toThrow(SourceError)
  answer({ 'http://a/x': leads('file:///etc/passwd') })
  await expect(download('http://a/x', target())).rejects.toThrow(/which is refused/)
  answer({ 'http://a/x': leads('https://b/x'), 'https://b/x': leads('http://c/x') })
  await expect(download('http://a/x', target())).rejects.toThrow(/from https:\/\/ to http/)
})

test('https that leads to https is followed, relative addresses too, but not for ever', async () => {
  answer({ 'https://a/x': leads('/y'), 'https://a/y': leads('https://b/z'), 'https://b/z': new Response('text') })
  expect(await download('https://a/x', target())).toBe(4)
  expect(readFileSync(target(), 'utf8')).toBe('text')
  answer({ 'https://a/x': leads('/x') })
  await expect(download('https://a/x', target())).rejects.toThrow(/more than 10 times/)
})

test.each([
  ['announced', true],
  ['not announced', false],
])('a file that is too large, %s, ends the download there', async (_, announced) => {
  let asked = 0
  const address = await serve((_request, response) => {
    asked++
    if (announced) response.writeHead(200, { 'content-length': 1e12 })
    const more = (): void => {
      while (!response.destroyed && response.write(Buffer.alloc(100_000)));
      if (!response.destroyed) response.once('drain', more)
    }
    more()
  })
  const work = download(`${address}/x`, target(), { mostBytes: 1_000_000 })
  await expect(work).rejects.toMatchObject({
    code: 'DPM_FILE_INVALID',
    message: expect.stringMatching(/more than the 1 MB/),
  })
  expect(asked).toBe(1)
  expect(readdirSync(folder)).toEqual(['file.part'])
  expect(statSync(join(folder, 'file.part')).size).toBeLessThanOrEqual(1_000_000)
})

test('a server that goes on at another byte than it was asked for is given up', async () => {
  let asked = 0
  const address = await serve((_request, response) => {
    asked++
    if (asked === 1) {
      response.writeHead(200, { 'content-length': 200 })
      response.write(Buffer.alloc(100), () => setTimeout(() => response.destroy(), 30))
    } else {
      response.writeHead(206, { 'content-length': 50, 'content-range': 'bytes 150-199/200' })
      response.end(Buffer.alloc(50))
    }
  })
  await expect(download(`${address}/x`, target())).rejects.toThrow(/at another byte/)
})
