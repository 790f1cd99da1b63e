import { once } from 'node:events'
import { createServer } from 'node:http'
import { connect, type SecureContextOptions } from 'node:tls'
import { inspect } from 'node:util'
import { describe, expect, test } from 'vitest'
import { day, refusal, useManagers } from '../support/managers.js'
import { handshake } from '../support/tls.js'

const t = useManagers()

describe('a client without SNI', () => {
  test('gets defaultHost’s certificate on an attached server, and the new one after a renewal', async () => {
    const { manager, tlsServer, tlsPort } = await t.machine({ defaultHost: 'A.example' })
    await expect(handshake(tlsPort, undefined)).rejects.toMatchObject(refusal)
    manager.attach(tlsServer)
    const [{ serialNumber }] = await once(manager, 'issued')
    expect(await handshake(tlsPort, undefined)).toMatchObject({ serialNumber, names: 'DNS:a.example' })
    t.clock.jump(63 * day)
    const renewed = once(manager, 'renewed')
    await handshake(tlsPort, 'a.example')
    const [{ serialNumber: next }] = await renewed
    expect(await handshake(tlsPort, undefined)).toMatchObject({ serialNumber: next })
    // As on any TLS server with a default certificate, unknown names get it as well.
    expect(await handshake(tlsPort, 'evil.example')).toMatchObject({ serialNumber: next })
  })

  test('attach without defaultHost and sessionTickets makes no request and changes nothing', async () => {
    const { manager, tlsServer } = await t.machine()
    const ticketKeys = tlsServer.getTicketKeys()
    manager.attach(tlsServer)
    expect(t.store.take()).toEqual([])
    expect(tlsServer.getTicketKeys()).toEqual(ticketKeys)
  })

  test('attach throws a TypeError for anything other than a TLS server', async () => {
    const { manager } = await t.machine({ defaultHost: 'a.example' })
    for (const server of [undefined, {}, createServer()]) {
      expect(() => manager.attach(server as never)).toThrow(TypeError)
      expect(() => manager.attach(server as never)).toThrow(/^attach: server/)
    }
    expect(t.store.take()).toEqual([])
  })

  test('gets the renewed certificate even if memory has no room for it', async () => {
    const { manager, tlsServer, tlsPort } = await t.machine({ defaultHost: 'a.example', memory: { max: 1 } })
    manager.attach(tlsServer)
    const [{ serialNumber }] = await once(manager, 'issued')
    await handshake(tlsPort, 'b.example')
    const renewed = new Promise((resolve) => {
      manager.on('renewed', ({ host }) => host === 'a.example' && resolve(host))
    })
    t.clock.jump(63 * day)
    await renewed
    const next = await handshake(tlsPort, undefined)
    expect(next).toMatchObject({ names: 'DNS:a.example' })
    expect(next.serialNumber).not.toBe(serialNumber)
  })

  test('gets no expired certificate, and gets a new one as soon as it is issued', async () => {
    const { manager, tlsServer, tlsPort, events } = await t.machine({ defaultHost: 'a.example' })
    manager.attach(tlsServer)
    await expect.poll(() => t.store.values.has('a.example')).toBe(true)
    const fault = t.ca.fault({ on: 'newOrder', type: 'rateLimited', retryAfter: 60, times: Infinity })
    t.clock.jump(63 * day)
    await expect.poll(() => events.renewalFailed).toHaveLength(1)
    expect(await handshake(tlsPort, undefined)).toMatchObject({ names: 'DNS:a.example' })
    t.clock.jump(28 * day)
    await expect(handshake(tlsPort, undefined)).rejects.toMatchObject(refusal)
    await expect(handshake(tlsPort, 'evil.example')).rejects.toMatchObject(refusal)
    await expect.poll(() => fault.hits).toBe(2)
    await expect.poll(() => events.issuanceFailed).toHaveLength(2)
    fault.remove()
    const issued = once(manager, 'issued')
    t.clock.jump(2 * day)
    await issued
    expect(await handshake(tlsPort, undefined)).toMatchObject({ names: 'DNS:a.example' })
  })

  test('gets a certificate even if the store was down when the server was attached', async () => {
    const { manager, tlsServer, tlsPort, events } = await t.machine({ defaultHost: 'a.example' })
    t.store.before = () => Promise.reject(new Error('down'))
    manager.attach(tlsServer)
    await expect.poll(() => events.handshakeFailed).toMatchObject([{ host: 'a.example' }])
    t.store.before = () => {}
    const issued = once(manager, 'issued')
    t.clock.jump(61_000)
    await issued
    expect(await handshake(tlsPort, undefined)).toMatchObject({ names: 'DNS:a.example' })
  })

  test('gets its certificate without a change to the server’s sessions, ticket keys and options', async () => {
    const { manager, tlsServer, tlsPort } = await t.machine({ defaultHost: 'a.example' })
    await manager.ensure(['a.example', 'b.example'])
    const ciphers = 'ECDHE-ECDSA-AES256-GCM-SHA384'
    const versions = { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' } as const
    tlsServer.setSecureContext({ ...versions, ciphers, sessionIdContext: 'fleet' })
    const visit = async (session?: Buffer) => {
      const options = { host: '127.0.0.1', port: tlsPort, servername: 'b.example', rejectUnauthorized: false }
      const socket = connect({ ...options, ...(session && { session }) })
      const ticket = once(socket, 'session')
      await once(socket, 'secureConnect')
      const seen = { reused: socket.isSessionReused(), cipher: socket.getCipher().name }
      const [next] = session ? [session] : await ticket
      socket.destroy()
      return { ...seen, session: next as Buffer }
    }
    const { session } = await visit()
    const ticketKeys = tlsServer.getTicketKeys()
    manager.attach(tlsServer)
    expect(await handshake(tlsPort, undefined)).toMatchObject({ names: 'DNS:a.example', protocol: 'TLSv1.2' })
    expect(tlsServer.getTicketKeys()).toEqual(ticketKeys)
    expect(inspect(tlsServer, { depth: Number.POSITIVE_INFINITY, showHidden: true })).not.toContain(
      'PRIVATE KEY',
    )
    expect(await visit(session)).toMatchObject({ reused: true, cipher: ciphers })
    expect(await visit()).toMatchObject({ reused: false, cipher: ciphers })
  })
  test('gets its certificate without a change to certificateCompression, which Node has since 24', async () => {
    const { manager, tlsServer } = await t.machine({ defaultHost: 'a.example' })
    await manager.ensure(['a.example'])
    tlsServer.setSecureContext({ certificateCompression: ['zlib'] } as SecureContextOptions)
    const compression = Reflect.get(tlsServer, 'certificateCompression')
    manager.attach(tlsServer)
    expect(Reflect.get(tlsServer, 'certificateCompression')).toEqual(compression)
  })
})
