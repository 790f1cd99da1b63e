import { createServer } from 'node:http'
import { expect, onTestFinished, test } from 'vitest'
import type { HostPolicyOccasion } from '../../src/index.js'
import { makeBundle } from '../support/certificates.js'
import { day, impatient, sniCallback, useManagers } from '../support/managers.js'
import { get, handshake, listen } from '../support/tls.js'

const t = useManagers()

/** Starts a machine whose policy allows all hosts and records the occasions. */
async function machine(options: Parameters<typeof t.machine>[0] = {}) {
  const occasions: (HostPolicyOccasion & { host: string })[] = []
  const hostPolicy = (host: string, occasion: HostPolicyOccasion) => occasions.push({ host, ...occasion }) > 0
  return { ...(await t.machine({ hostPolicy, ...options })), occasions }
}
const client = '127.0.0.1'

test('a handshake for a host that is not in memory has the address of its client', async () => {
  const { tlsPort, occasions } = await machine()
  t.store.values.set('a.example', (await makeBundle({ host: 'a.example' })).data)
  await handshake(tlsPort, 'a.example')
  await handshake(tlsPort, 'a.example')
  expect(occasions).toEqual([{ host: 'a.example', reason: 'handshake', remoteAddress: client }])
})

test('getCertificate() is a handshake without a client, and so is a call of SNICallback without a socket', async () => {
  const { manager, occasions } = await machine()
  for (const host of ['a.example', 'b.example']) t.store.values.set(host, (await makeBundle({ host })).data)
  await manager.getCertificate('a.example')
  await sniCallback(manager)('b.example')
  expect(occasions).toStrictEqual([
    { host: 'a.example', reason: 'handshake' },
    { host: 'b.example', reason: 'handshake' },
  ])
})

test('a request for a challenge answer in the store has the address of its client', async () => {
  const { manager, tlsPort, occasions } = await machine()
  const server = createServer(manager.httpHandler(undefined, { trustedProxies: [client] }))
  onTestFinished(() => void server.close())
  const port = await listen(server)
  await get(port, '/.well-known/acme-challenge/token', { host: 'a.example' })
  await get(port, '/.well-known/acme-challenge/token', {
    host: 'b.example',
    headers: { 'x-forwarded-for': '198.51.100.9, 203.0.113.7' },
  })
  await handshake(tlsPort, 'c.example', { ALPNProtocols: ['acme-tls/1'] }).catch(() => {})
  expect(occasions).toEqual([
    { host: 'a.example', reason: 'challenge', remoteAddress: client },
    { host: 'b.example', reason: 'challenge', remoteAddress: '203.0.113.7' },
    { host: 'c.example', reason: 'challenge', remoteAddress: client },
  ])
})

test('ensure() and attach() load hosts without a client', async () => {
  const { manager, tlsServer, occasions } = await machine({ defaultHost: 'b.example' })
  await manager.ensure(['a.example'])
  expect(occasions).toContainEqual({ host: 'a.example', reason: 'ensure' })
  manager.attach(tlsServer)
  await expect.poll(() => manager.status()).toHaveLength(2)
  expect(occasions).toContainEqual({ host: 'b.example', reason: 'ensure' })
  for (const occasion of occasions) expect(Object.keys(occasion)).toEqual(['host', 'reason'])
  expect(new Set(occasions.map(({ reason }) => reason))).toEqual(new Set(['ensure']))
})

test('a kept host that has failed is retried as ensure()', async () => {
  let isAllowed = false
  const reasons: string[] = []
  const { manager } = await t.machine({
    clock: impatient(t.clock),
    hostPolicy: (_, { reason }) => {
      reasons.push(reason)
      return isAllowed
    },
  })
  await expect(manager.ensure(['a.example'])).rejects.toThrow(AggregateError)
  isAllowed = true
  t.clock.jump(day)
  await expect.poll(() => manager.status()).toMatchObject([{ source: 'acme' }])
  expect(new Set(reasons)).toEqual(new Set(['ensure']))
})

test('a certificate that is due is renewed without a client, also if a handshake starts the renewal', async () => {
  const { manager, tlsPort, events, occasions } = await machine()
  await manager.ensure(['a.example'])
  occasions.length = 0
  t.clock.set(80 * day)
  await handshake(tlsPort, 'a.example')
  await expect.poll(() => events.renewed).toHaveLength(1)
  expect(occasions).toEqual([{ host: 'a.example', reason: 'renewal' }])
})

test('a policy that refuses an occasion decides about that occasion alone', async () => {
  const { tlsPort, manager, events } = await t.machine({ hostPolicy: (_, { reason }) => reason === 'ensure' })
  await expect(handshake(tlsPort, 'a.example')).rejects.toThrow()
  expect(events.refused).toEqual([{ servername: 'a.example', reason: 'policy' }])
  expect(t.store.take()).toEqual([])
  await manager.ensure(['a.example'])
  await handshake(tlsPort, 'a.example')
})

test('concurrent handshakes share one call, which has the occasion of the first', async () => {
  const occasions: HostPolicyOccasion[] = []
  let answer = (_: boolean) => {}
  const hostPolicy = (_: string, occasion: HostPolicyOccasion) => {
    occasions.push(occasion)
    return new Promise<boolean>((resolve) => {
      answer = resolve
    })
  }
  t.store.values.set('a.example', (await makeBundle({ host: 'a.example' })).data)
  const { manager } = await t.machine({ hostPolicy })
  const { SNICallback } = manager.tlsOptions()
  const first = new Promise((resolve) => {
    SNICallback.call({ remoteAddress: '::ffff:203.0.113.7' } as never, 'a.example', (_, context) =>
      resolve(context),
    )
  })
  const others = [manager.getCertificate('a.example'), manager.ensure(['a.example'])]
  expect(occasions).toEqual([{ reason: 'handshake', remoteAddress: '203.0.113.7' }])
  answer(true)
  expect(await first).toBeDefined()
  await Promise.all(others)
  expect(occasions).toHaveLength(1)
})
