import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { BlobServiceClient, StorageSharedKeyCredential } from '@azure/storage-blob'
import { expect, onTestFinished, test } from 'vitest'
import { startAzurite } from '../../demo/azurite.js'
import { makeBundle } from '../support/certificates.js'
import { runCli } from '../support/cli.js'
import { openTap } from '../support/tap.js'

const blobs = Number(process.env.BLOBS ?? 100_000)
const mib = 1_024 * 1_024

const patch = fileURLToPath(new URL('../support/quick-azurite.cjs', import.meta.url))

async function fullContainer() {
  const { NODE_OPTIONS } = process.env
  process.env.NODE_OPTIONS = `${NODE_OPTIONS ?? ''} --require ${JSON.stringify(patch)}`
  const { close, ...account } = await startAzurite()
  process.env.NODE_OPTIONS = NODE_OPTIONS ?? ''
  onTestFinished(close)
  const { accountName, accountKey, endpoint } = account
  const credential = new StorageSharedKeyCredential(accountName, accountKey)
  const container = new BlobServiceClient(endpoint, credential).getContainerClient('full')
  await container.create()
  const { data } = await makeBundle({ host: '*.example.com' })
  let next = 0
  const upload = async () => {
    for (let n = next++; n < blobs; n = next++) {
      const name = `host-${String(n).padStart(6, '0')}.example.com`
      await container.uploadBlockBlob(name, data, data.byteLength)
    }
  }
  await Promise.all(Array.from({ length: 50 }, upload))
  const tap = await openTap(endpoint)
  onTestFinished(() => tap.close())
  return {
    tap,
    flags: ['--container', 'full', '--endpoint', tap.endpoint],
    env: { AZURE_STORAGE_ACCOUNT: accountName, AZURE_STORAGE_KEY: accountKey },
  }
}

test(`ls on ${blobs} blobs prints rows while it reads, with a peak memory under 150 MB`, async () => {
  const started = performance.now()
  const { tap, flags, env } = await fullContainer()
  console.log(`${blobs} blobs were written in ${Math.round((performance.now() - started) / 1_000)} s`)
  const folder = await mkdtemp(join(tmpdir(), 'acme-cert-cache-ls-'))
  try {
    for (const args of [[], ['--sort', 'expires']]) {
      const peakFile = join(folder, 'peak')
      // Not resourceUsage(): on Linux it starts at the size of the parent process.
      const preload = `import { readFileSync, writeFileSync } from 'node:fs'
process.on('exit', () => writeFileSync(${JSON.stringify(peakFile)}, readFileSync('/proc/self/status', 'utf8')))`
      let rows = 0
      let firstMs = Number.POSITIVE_INFINITY
      let requestsBefore = 0
      tap.take()
      const from = performance.now()
      const { code, stderr } = await runCli(['ls', ...flags, ...args], {
        env,
        node: ['--import', `data:text/javascript,${encodeURIComponent(preload)}`],
        onOutput(chunk) {
          rows += chunk.match(/host-\d+\.example\.com(?=[" ])/g)?.length ?? 0
          if (rows === 0 || firstMs < Number.POSITIVE_INFINITY) return
          firstMs = performance.now() - from
          requestsBefore = tap.requests.length
        },
      })
      const allMs = performance.now() - from
      const peak = Number(/VmHWM:\s*(\d+) kB/.exec(await readFile(peakFile, 'utf8'))?.[1]) * 1_024
      console.log(
        `ls ${args.join(' ')}: first rows after ${Math.round(firstMs)} ms and ${requestsBefore} requests, ${rows} in ${Math.round(allMs / 1_000)} s, peak ${Math.round(peak / mib)} MiB`,
      )
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
      expect(rows).toBeGreaterThanOrEqual(blobs)
      // Sorting holds all rows in memory.
      const sorted = args.includes('--sort')
      expect(peak).toBeLessThan(sorted ? 200_000_000 : 150_000_000)
      if (!sorted) expect(requestsBefore).toBeLessThan(blobs / 2)
    }
  } finally {
    await rm(folder, { recursive: true })
  }
})
