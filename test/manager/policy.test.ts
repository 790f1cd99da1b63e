import { createServer } from 'node:http'
import { describe, expect, test, vi } from 'vitest'
import { makeBundle } from '../support/certificates.js'
import { refusal, sniCallback, useManagers } from '../support/managers.js'
import { get, handshake, listen } from '../support/tls.js'

const t = useManagers()

describe('host policy', () => {
  test('names outside the policy and invalid names cost no request, no order and no memory', async () => {
    const { tlsPort, manager, events } = await t.machine()
    const requests = t.ca.counts.requests
    for (const name of [
      'evil.example',
      'www.a.example',
      'localhost',
      'a_b.example',
      `${'x'.repeat(60)}.example`,
    ]) {
      await expect(handshake(tlsPort, name)).rejects.toMatchObject(refusal)
    }
    const ask = sniCallback(manager)
    for (const name of [
      '',
      '192.0.2.1',
      '*.a.example',
      'a.example:443',
      '\u0000',
      'xn--.example',
      'x'.repeat(300),
    ]) {
      await ask(name)
    }
    expect(t.store.take()).toEqual([])
    expect(t.ca.counts.requests).toBe(requests)
    expect(manager.status()).toEqual([])
    expect(events.refused?.filter(({ reason }) => reason === 'policy')).toHaveLength(3)
    expect(events.refused?.filter(({ reason }) => reason === 'name')).toHaveLength(9)
  })

  test('Let’s Encrypt is not asked for a name under a reserved one, and neither is the policy', async () => {
    const hostPolicy = vi.fn(() => true)
    const { manager, events } = await t.machine({ hostPolicy, acme: { termsOfServiceAgreed: true } })
    expect(await sniCallback(manager)('db.internal')).toBeUndefined()
    await expect(manager.getCertificate('db.internal')).rejects.toMatchObject({ code: 'ERR_HOST_NAME' })
    const server = createServer(manager.httpHandler())
    const path = '/.well-known/acme-challenge/token'
    expect(await get(await listen(server), path, { host: 'db.internal' })).toMatchObject({ status: 404 })
    server.close()
    const refused = { servername: 'db.internal', reason: 'name' }
    expect(events.refused).toEqual([refused, refused])
    expect(hostPolicy).not.toHaveBeenCalled()
    expect(t.store.take()).toEqual([])
  })

  test.each([
    [
      'throws',
      () => {
        throw new Error('no database')
      },
    ],
    [
      'throws a value that is not an Error',
      () => {
        throw 'no database'
      },
    ],
    ['rejects', () => Promise.reject(new Error('no database'))],
    ['returns undefined', () => undefined as never],
    ['returns "true"', () => 'true' as never],
  ])('a policy that %s refuses the handshake', async (_, hostPolicy: () => boolean | Promise<boolean>) => {
    const { tlsPort, events } = await t.machine({ hostPolicy })
    await expect(handshake(tlsPort, 'a.example')).rejects.toMatchObject(refusal)
    expect(t.store.take()).toEqual([])
    expect([...(events.refused ?? []), ...(events.handshakeFailed ?? [])]).toHaveLength(1)
  })

  test('a policy that never answers fails the handshake after 30 s', async () => {
    const asked: string[] = []
    const hostPolicy = (host: string) => {
      asked.push(host)
      return new Promise<boolean>(() => {})
    }
    const { tlsPort, events, manager } = await t.machine({ hostPolicy })
    const client = handshake(tlsPort, 'a.example')
    client.catch(() => {})
    const ask = sniCallback(manager)('b.example')
    await expect.poll(() => asked).toEqual(['b.example', 'a.example'])
    t.clock.jump(30_000)
    await ask
    await expect.poll(() => events.handshakeFailed).toHaveLength(2)
    await expect(client).rejects.toMatchObject(refusal)
    expect(t.store.take()).toEqual([])
  })

  test('a policy receives the normalised name, and is not called for certificates in memory', async () => {
    const asked: string[] = []
    const hostPolicy = async (host: string) => asked.push(host) > 0
    t.store.values.set('xn--mnchen-3ya.example', (await makeBundle({ host: 'xn--mnchen-3ya.example' })).data)
    const { manager } = await t.machine({ hostPolicy })
    await manager.getCertificate('MÜNCHEN.example.')
    await manager.getCertificate('münchen.example')
    expect(asked).toEqual(['xn--mnchen-3ya.example'])
  })
})
