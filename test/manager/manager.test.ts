import { type EventEmitter, once } from 'node:events'
import { describe, expect, test } from 'vitest'
import type { CertManager } from '../../src/index.js'
import { refusal, useManagers } from '../support/managers.js'
import { handshake } from '../support/tls.js'

const t = useManagers()

describe('CertManager', () => {
  test('ensure obtains certificates, and rejects with the names of the hosts that failed', async () => {
    const { manager, tlsPort } = await t.machine()
    await manager.ensure(['a.example', 'B.example', 'a.example'])
    expect(t.ca.counts.orders).toBe(2)
    const failed = manager.ensure(['a.example', 'evil.example', 'localhost'])
    await expect(failed).rejects.toThrow(/2 hosts.*evil\.example/)
    t.store.take()
    await handshake(tlsPort, 'b.example')
    expect(t.store.take()).toEqual([])
  })

  test('getCertificate returns the certificate, or rejects with the code of the reason', async () => {
    const { manager } = await t.machine()
    await expect(manager.getCertificate('localhost')).rejects.toMatchObject({ code: 'ERR_HOST_NAME' })
    await expect(manager.getCertificate('evil.example')).rejects.toMatchObject({ code: 'ERR_HOST_POLICY' })
    const certificate = await manager.getCertificate('a.example')
    expect(certificate.cert).toMatch(/^-----BEGIN CERTIFICATE-----/)
    expect(certificate.key).toMatch(/^-----BEGIN EC PRIVATE KEY-----/)
  })

  test('listeners that throw or reject end neither the process nor the handshake', async () => {
    const { manager, tlsPort } = await t.machine()
    const warnings: string[] = []
    const listen = (warning: Error) => warnings.push(warning.message)
    process.on('warning', listen)
    manager.on('served', () => {
      throw new Error('thrown by a listener')
    })
    manager.on('issued', async () => {
      throw new Error('rejected by a listener')
    })
    await handshake(tlsPort, 'a.example')
    await handshake(tlsPort, 'a.example')
    await expect.poll(() => warnings.join()).toMatch(/rejected by a listener.*thrown by a listener/s)
    process.off('warning', listen)
  })

  test('close ends an order, withdraws its answer, and can be called twice', async () => {
    t.ca.validationDelayMs = 60_000
    const { manager, tlsPort } = await t.machine()
    const client = handshake(tlsPort, 'a.example')
    client.catch(() => {})
    await expect.poll(() => t.store.values.has('a.example+token')).toBe(true)
    await Promise.all([manager.close(), manager.close()])
    await expect(client).rejects.toMatchObject(refusal)
    expect([...t.store.values.keys()].sort()).toEqual(['acme_account+key', 'acme_probe'])
    await expect(manager.getCertificate('a.example')).rejects.toMatchObject({ code: 'ERR_CLOSED' })
  })

  test('disposing of the manager closes it', async () => {
    const { manager } = await t.machine()
    await manager[Symbol.asyncDispose]()
    await expect(manager.getCertificate('a.example')).rejects.toMatchObject({ code: 'ERR_CLOSED' })
  })
})

test('known events have types, and unknown events do not compile', () => {
  // The compiler checks this function; nothing calls it.
  function misuse(manager: CertManager) {
    manager.on('issued', ({ host, durationMs }) => `${host} ${durationMs.toFixed()}`).once('served', () => {})
    manager.emit('refused', { servername: 'a.example', reason: 'name' })
    const emitter: EventEmitter = manager
    void once(manager, 'issued')
    // @ts-expect-error: unknown event
    manager.on('isued', () => {})
    // @ts-expect-error: unknown event
    manager.once('error', () => {})
    // @ts-expect-error: unknown event
    manager.off('isued', () => {})
    // @ts-expect-error: unknown event
    manager.addListener('isued', () => {})
    // @ts-expect-error: unknown event
    manager.removeListener('isued', () => {})
    // @ts-expect-error: unknown event
    manager.prependListener('isued', () => {})
    // @ts-expect-error: unknown event
    manager.prependOnceListener('isued', () => {})
    // @ts-expect-error: unknown event
    manager.removeAllListeners('isued')
    // @ts-expect-error: unknown event
    manager.listenerCount('isued')
    // @ts-expect-error: unknown event
    manager.listeners('isued')
    // @ts-expect-error: unknown event
    manager.emit('isued', { host: 'a.example' })
    // @ts-expect-error: `refused` has no host
    manager.on('refused', ({ host }) => host)
    return emitter
  }
  expect(misuse).toBeTypeOf('function')
})
