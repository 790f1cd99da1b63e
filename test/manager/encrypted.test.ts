import { randomBytes } from 'node:crypto'
import { createServer } from 'node:http'
import { expect, test } from 'vitest'
import { AzureBlobCertCache, EncryptedCertCache } from '../../src/index.js'
import { freshContainer } from '../support/azure.js'
import { impatient, useManagers } from '../support/managers.js'
import { get, handshake, listen } from '../support/tls.js'

const t = useManagers()

const key = randomBytes(32)
const host = 'a.example'

/** A container, its blobs, and encrypted caches on it. */
async function encryptedContainer() {
  const { client, connect } = await freshContainer()
  const read = async (name: string) => client.getBlobClient(name).downloadToBuffer()
  const open = async ({ id = '2026-10', bytes = key } = {}) =>
    new EncryptedCertCache(await AzureBlobCertCache.connect(connect), {
      keys: { current: { id, key: bytes } },
    })
  const names = async () => {
    const found: string[] = []
    for await (const { name } of client.listBlobsFlat()) found.push(name)
    return found.sort()
  }
  return { connect, read, open, names }
}

test('machines share certificates, account and challenge answers, and no blob can be read without the key', async () => {
  const { open, read, names } = await encryptedContainer()
  const seen = new Map<string, Buffer>()
  const look = async () => {
    // The locks are empty.
    for (const name of (await names()).filter((found) => !found.endsWith('+lock'))) {
      seen.set(name, await read(name))
    }
  }
  const cache = await open()
  const put = cache.put.bind(cache)
  cache.put = async (...args) => {
    await put(...args)
    await look()
  }
  const a = await t.machine({ cache })
  const b = await t.machine({ cache: await open() })
  t.gate.target = a.tlsPort
  const first = await handshake(a.tlsPort, host)
  expect(await handshake(b.tlsPort, host)).toMatchObject({ serialNumber: first.serialNumber })
  expect(t.ca.ordersFor(host)).toBe(1)
  expect(b.events).toMatchObject({ loaded: [{ host }] })
  await look()
  expect([...seen.keys()].sort()).toEqual(['a.example', 'a.example+token', 'acme_account+key', 'acme_probe'])
  for (const [name, data] of seen) {
    expect(data.subarray(0, 4).toString('hex'), name).toBe('ff414343')
    expect(data.toString('latin1'), name).not.toMatch(/-----|BEGIN|PRIVATE|CERTIFICATE/)
    expect(data.length, name).toBeGreaterThan(80)
  }
})

test('an http-01 answer is encrypted, and any machine can serve it', async () => {
  const { open, read, names } = await encryptedContainer()
  const cache = await open()
  await cache.put('tok_en+http-01', Buffer.from('tok_en.thumbprint'))
  expect(await names()).toEqual(['tok_en+http-01'])
  expect((await read('tok_en+http-01')).includes('thumbprint')).toBe(false)
  const { manager } = await t.machine({ cache: await open() })
  const server = createServer(manager.httpHandler())
  try {
    const port = await listen(server)
    const answer = await get(port, '/.well-known/acme-challenge/tok_en', { host })
    expect(answer).toMatchObject({ status: 200, body: 'tok_en.thumbprint' })
  } finally {
    server.closeAllConnections()
    server.close()
  }
})

test('the store’s lock excludes other machines: 3 cold machines place one order', async () => {
  const { connect, open } = await encryptedContainer()
  const machines = []
  const refused = new Set<number>()
  for (let i = 0; i < 3; i++) {
    const store = await AzureBlobCertCache.connect(connect)
    const tryLock = store.tryLock.bind(store)
    store.tryLock = async (name, options) => {
      const lock = await tryLock(name, options)
      if (name === host && !lock) refused.add(i)
      return lock
    }
    const cache = new EncryptedCertCache(store, { keys: { current: { id: '2026-10', key } } })
    machines.push(await t.machine({ cache, clock: impatient(t.clock) }))
  }
  const lock = await (await open()).tryLock?.(host)
  expect(lock).toBeDefined()
  const all = Promise.all(
    machines.flatMap(({ tlsPort }) => [handshake(tlsPort, host), handshake(tlsPort, host)]),
  )
  await expect.poll(() => refused.size).toBe(3)
  expect(t.ca.ordersFor(host)).toBe(0)
  await lock?.release()
  expect(new Set((await all).map(({ serialNumber }) => serialNumber)).size).toBe(1)
  expect(t.ca.ordersFor(host)).toBe(1)
})

test('a machine with a wrong or missing key fails its handshakes and orders nothing', async () => {
  const { open } = await encryptedContainer()
  const a = await t.machine({ cache: await open() })
  const { serialNumber } = await handshake(a.tlsPort, host)
  for (const wrong of [{ bytes: randomBytes(32) }, { id: '2027-10', bytes: randomBytes(32) }]) {
    const b = await t.machine({ cache: await open(wrong) })
    t.gate.target = a.tlsPort
    await expect(handshake(b.tlsPort, host)).rejects.toThrow()
    expect(b.events.storeFailed).toMatchObject([
      { operation: 'get', key: host, error: { code: 'ERR_STORE_DECRYPT' } },
    ])
    expect(b.events.invalid).toBeUndefined()
  }
  expect(t.ca.ordersFor(host)).toBe(1)
  expect(await handshake(a.tlsPort, host)).toMatchObject({ serialNumber })
})

test('repeated reads of a value that cannot be decrypted do not affect another host', async () => {
  const { open, names } = await encryptedContainer()
  const cache = await open()
  const a = await t.machine({ cache })
  await handshake(a.tlsPort, host)
  await handshake(a.tlsPort, 'b.example')
  expect(await names()).toContain('b.example')
  await (await open({ bytes: randomBytes(32) })).put(host, Buffer.from('encrypted with a lost key'))
  const b = await t.machine({ cache: await open() })
  for (let i = 0; i < 8; i++) {
    await expect(b.manager.getCertificate(host)).rejects.toMatchObject({ code: 'ERR_STORE_DECRYPT' })
  }
  expect(await handshake(b.tlsPort, 'b.example')).toMatchObject({ names: 'DNS:b.example' })
  expect(t.ca.ordersFor(host)).toBe(1)
})
