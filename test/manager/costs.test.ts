import { describe, expect, test } from 'vitest'
import { makeBundle } from '../support/certificates.js'
import { sniCallback, useManagers } from '../support/managers.js'
import { handshake } from '../support/tls.js'

const t = useManagers()

describe('store operations', () => {
  test('a first issuance reads host, failure record and key, proves that the store takes a write, puts and deletes an answer, and puts the certificate', async () => {
    const { tlsPort } = await t.machine()
    await handshake(tlsPort, 'a.example')
    expect(t.store.take()).toEqual([
      'get a.example',
      'get a.example+failure',
      'put acme_probe',
      'get acme_account+key',
      'get acme_account.key',
      'put acme_account+key',
      'put a.example+token',
      'delete a.example+token',
      'put a.example',
    ])
    await handshake(tlsPort, 'b.example')
    expect(t.store.take()).toEqual([
      'get b.example',
      'get b.example+failure',
      'put acme_probe',
      'put b.example+token',
      'delete b.example+token',
      'put b.example',
    ])
  })

  test('a store hit needs one request for any number of concurrent handshakes', async () => {
    t.store.values.set('a.example', (await makeBundle({ host: 'a.example' })).data)
    const { tlsPort, events } = await t.machine()
    await Promise.all(Array.from({ length: 30 }, () => handshake(tlsPort, 'a.example')))
    expect(t.store.take()).toEqual(['get a.example'])
    expect(events.loaded).toHaveLength(1)
    expect(events.served).toHaveLength(30)
    expect(events.served?.[0]).toMatchObject({ host: 'a.example', source: 'store' })
  })

  test('a memory hit needs no request, and calls back in the same tick with the same context', async () => {
    t.store.values.set('a.example', (await makeBundle({ host: 'a.example' })).data)
    const { manager } = await t.machine()
    const { SNICallback } = manager.tlsOptions()
    const first = await sniCallback(manager)('a.example')
    t.store.take()
    const seen: unknown[] = []
    for (let i = 0; i < 100; i++) SNICallback('A.example.', (_, context) => seen.push(context))
    expect(seen).toHaveLength(100)
    expect(new Set(seen)).toEqual(new Set([first]))
    expect(t.store.take()).toEqual([])
  })

  test('certificates that memory has no room for are read from the store again', async () => {
    for (const host of ['a.example', 'b.example']) t.store.values.set(host, (await makeBundle({ host })).data)
    const { manager } = await t.machine({ memory: { max: 1 } })
    const ask = sniCallback(manager)
    for (const host of ['a.example', 'b.example', 'a.example']) await ask(host)
    expect(t.store.take()).toEqual(['get a.example', 'get b.example', 'get a.example'])
    expect(manager.status().map(({ host }) => host)).toEqual(['a.example'])
  })
})
