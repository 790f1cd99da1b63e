import cluster, { type Worker as ClusterWorker } from 'node:cluster'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { expect, test } from 'vitest'
import { handshake } from '../support/tls.js'
import { host, useSite } from './site.js'

const site = useSite()
const program = fileURLToPath(new URL('server.js', import.meta.url))

/** Returns what a server in another process or thread needs. Its certificates are in a folder. */
async function createSettings() {
  const folder = await mkdtemp(join(tmpdir(), 'acme-cert-cache-servers-'))
  site.onClose(() => rm(folder, { recursive: true }))
  return { folder, host, acme: site.acme }
}

/** Requests the page until each of the ids has answered. */
async function expectAnswersOf(ids: readonly string[], port: number): Promise<void> {
  const answers = new Set<string>()
  await expect
    .poll(async () => [...answers.add(await site.get(port))].sort())
    .toEqual(ids.map((id) => `hello from ${id}`).sort())
}

test('two workers of a cluster that share a folder place one order', async () => {
  const settings = await createSettings()
  cluster.setupPrimary({ exec: program, execArgv: [] })
  const workers: ClusterWorker[] = []
  for (let count = 0; count < 2; count++) workers.push(cluster.fork({ SETTINGS: JSON.stringify(settings) }))
  site.onClose(() => workers.map((worker) => worker.process.kill('SIGKILL')))
  const ports = await Promise.all(workers.map(async (worker) => (await once(worker, 'message'))[0]))
  const port = site.lead(ports[0])
  expect(ports).toEqual([port, port])

  // The primary gives each worker one of the connections, and the CA's validation to one of them.
  const shown = await Promise.all(workers.map(() => handshake(port, host, site.client)))
  const [{ serialNumber } = {}] = site.ca.issued
  const expected = expect.objectContaining({ authorized: true, names: `DNS:${host}`, serialNumber })
  expect(shown).toEqual([expected, expected])
  await expectAnswersOf(
    workers.map(({ id }) => String(id)),
    port,
  )
  expect(site.ca.ordersFor(host)).toBe(1)

  for (const worker of workers) worker.send('close')
  const ends = await Promise.all(workers.map((worker) => once(worker, 'exit')))
  expect(ends).toEqual([
    [0, null],
    [0, null],
  ])
})

test('a server in a worker thread serves its application, and the thread ends when all is closed', async () => {
  const worker = new Worker(program, { workerData: await createSettings(), execArgv: [] })
  site.onClose(() => worker.terminate())
  const [port] = await once(worker, 'message')
  site.lead(port)
  const options = { ...site.client }
  const first = await handshake(port, host, options)
  expect(first).toMatchObject({ authorized: true, names: `DNS:${host}` })
  expect(await handshake(port, host, options)).toEqual(first)
  expect(await site.get(port)).toBe('hello from the thread')
  expect(site.ca.ordersFor(host)).toBe(1)
  worker.postMessage('close')
  expect(await once(worker, 'exit')).toEqual([0])
})
