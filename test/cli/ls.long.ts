import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { Agent, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ContainerClient, ContainerSASPermissions } from '@azure/storage-blob'
import { expect, test } from 'vitest'
import { freshContainer } from '../support/azure.js'
import { makeBundle } from '../support/certificates.js'
import { accessTo, runCli } from '../support/cli.js'

const blobs = 100_000
const mib = 1_024 * 1_024

/** Not by the SDK, which would take twice as long. */
async function fill(client: ContainerClient, data: Uint8Array) {
  const expiresOn = new Date(Date.now() + 3_600_000)
  const sas = new URL(
    await client.generateSasUrl({ permissions: ContainerSASPermissions.parse('cw'), expiresOn }),
  )
  const agent = new Agent({ keepAlive: true, maxSockets: 50 })
  let next = 0
  const upload = async () => {
    for (let n = next++; n < blobs; n = next++) {
      const path = `${sas.pathname}/host-${String(n).padStart(6, '0')}.example.com${sas.search}`
      const headers = {
        'x-ms-blob-type': 'BlockBlob',
        'x-ms-version': '2021-12-02',
        'content-length': data.byteLength,
      }
      const put = request({ host: sas.hostname, port: sas.port, path, method: 'PUT', headers, agent })
      put.end(data)
      const [answer] = await once(put, 'response')
      answer.resume()
      await once(answer, 'end')
      if (answer.statusCode !== 201) throw new Error(`status ${answer.statusCode}`)
    }
  }
  await Promise.all(Array.from({ length: 50 }, upload))
  agent.destroy()
}

test('ls on 100,000 blobs: first rows in under 2 s, peak memory under 150 MB', async () => {
  const { client, connect } = await freshContainer()
  const { data } = await makeBundle({ host: '*.example.com' })
  const started = performance.now()
  await fill(client, data)
  console.log(`${blobs} blobs were written in ${Math.round((performance.now() - started) / 1_000)} s`)
  const folder = await mkdtemp(join(tmpdir(), 'acme-cert-cache-ls-'))
  try {
    for (const args of [[], ['--json'], ['--sort', 'expires']]) {
      const peakFile = join(folder, 'peak')
      // Not resourceUsage(): on Linux it begins with the size of the process that this one was forked from.
      const preload = `import { readFileSync, writeFileSync } from 'node:fs'
process.on('exit', () => writeFileSync(${JSON.stringify(peakFile)}, readFileSync('/proc/self/status', 'utf8')))`
      const { flags, env } = accessTo(connect.containerName)
      let rows = 0
      let firstMs = Number.POSITIVE_INFINITY
      const from = performance.now()
      const { code, stderr } = await runCli(['ls', ...flags, ...args], {
        env,
        node: ['--import', `data:text/javascript,${encodeURIComponent(preload)}`],
        onOutput(chunk) {
          rows += chunk.match(/host-\d+\.example\.com(?=[" ])/g)?.length ?? 0
          if (rows > 0) firstMs = Math.min(firstMs, performance.now() - from)
        },
      })
      const allMs = performance.now() - from
      const peak = Number(/VmHWM:\s*(\d+) kB/.exec(await readFile(peakFile, 'utf8'))?.[1]) * 1_024
      console.log(
        `ls ${args.join(' ')}: first rows after ${Math.round(firstMs)} ms, ${rows} in ${Math.round(allMs / 1_000)} s, peak ${Math.round(peak / mib)} MiB`,
      )
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
      expect(rows).toBeGreaterThanOrEqual(blobs)
      expect(peak).toBeLessThan(150_000_000)
      if (!args.includes('--sort')) expect(firstMs).toBeLessThan(2_000)
    }
  } finally {
    await rm(folder, { recursive: true })
  }
})
