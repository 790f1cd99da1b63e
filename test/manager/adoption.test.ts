import { once } from 'node:events'
import { Agent, request } from 'node:https'
import { connect } from 'node:tls'
import { beforeEach, describe, expect, test } from 'vitest'
import { makeBundle } from '../support/certificates.js'
import { LockingStore } from '../support/locking-store.js'
import { day, useManagers } from '../support/managers.js'
import { handshake } from '../support/tls.js'

const t = useManagers()
const minute = 60_000

beforeEach(() => {
  t.store = new LockingStore()
})

/** Issues a newer certificate for a.example, as if a peer had ordered it early. */
async function newer() {
  const store = t.store
  t.store = new LockingStore()
  const peer = await t.machine()
  const { serialNumber } = await peer.manager.getCertificate('a.example')
  const data = t.store.values.get('a.example')!
  t.store = store
  return { serialNumber, data }
}

describe('a certificate that a peer has stored', () => {
  test('is adopted early, within 72 minutes, when there is traffic', async () => {
    const { tlsPort, manager, events } = await t.machine()
    const { serialNumber } = await handshake(tlsPort, 'a.example')
    t.clock.set(day)
    const peers = await newer()
    t.store.values.set('a.example', peers.data)
    await handshake(tlsPort, 'a.example') // has been idle; starts a check
    await expect.poll(() => events.adopted).toHaveLength(1)
    expect(await handshake(tlsPort, 'a.example')).toMatchObject({ serialNumber: peers.serialNumber })
    expect(peers.serialNumber).not.toBe(serialNumber)

    t.clock.set(minute)
    const next = await newer()
    t.store.values.set('a.example', next.data)
    t.clock.set(72 * minute)
    const adopted = once(manager, 'adopted')
    await handshake(tlsPort, 'a.example')
    expect((await adopted)[0]).toMatchObject({ host: 'a.example', serialNumber: next.serialNumber })
    expect(await handshake(tlsPort, 'a.example')).toMatchObject({ serialNumber: next.serialNumber })
    expect(t.ca.ordersFor('a.example')).toBe(3)
  })

  test('is adopted early, within 6.2 hours, without traffic', async () => {
    const { manager } = await t.machine()
    await manager.getCertificate('a.example')
    t.clock.set(60_000)
    const { data } = await newer()
    t.store.values.set('a.example', data)
    const adopted = once(manager, 'adopted')
    t.clock.jump(6.2 * 60 * minute)
    await adopted
  })

  test('is adopted if it was issued in the same second as the current one', async () => {
    const times = { notBefore: new Date(Date.now() - 1_000), notAfter: new Date(Date.now() + 90 * day) }
    const [ours, twin] = [
      await makeBundle({ host: 'a.example', ...times }),
      await makeBundle({ host: 'a.example', ...times }),
    ]
    t.store.values.set('a.example', ours.data)
    const { tlsPort, events } = await t.machine()
    expect(await handshake(tlsPort, 'a.example')).toMatchObject({ serialNumber: ours.serialNumber })
    t.store.values.set('a.example', twin.data)
    t.clock.set(2 * 60 * minute)
    await handshake(tlsPort, 'a.example')
    await expect.poll(() => events.adopted).toHaveLength(1)
    expect(await handshake(tlsPort, 'a.example')).toMatchObject({ serialNumber: twin.serialNumber })
  })

  test('is not adopted if it is older than the current one', async () => {
    const { tlsPort, events } = await t.machine()
    await handshake(tlsPort, 'a.example')
    const older = t.store.values.get('a.example')!
    t.clock.set(63 * day)
    await handshake(tlsPort, 'a.example')
    await expect.poll(() => events.renewed).toHaveLength(1)
    const { serialNumber } = await handshake(tlsPort, 'a.example')
    t.store.values.set('a.example', older)
    t.clock.set(62 * minute)
    t.store.take()
    await handshake(tlsPort, 'a.example')
    await expect.poll(() => t.store.take()).toContain('get a.example')
    expect(await handshake(tlsPort, 'a.example')).toMatchObject({ serialNumber })
    expect(events.adopted).toBeUndefined()
  })

  test('existing connections and sessions continue; key and certificate change together', async () => {
    const { tlsPort, manager } = await t.machine()
    const before = await manager.getCertificate('a.example')
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    const get = async () => {
      const req = request({
        agent,
        host: '127.0.0.1',
        port: tlsPort,
        servername: 'a.example',
        rejectUnauthorized: false,
      })
      req.end()
      const [res] = await once(req, 'response')
      res.resume()
      await once(res, 'end')
      return { reused: req.reusedSocket, status: res.statusCode }
    }
    expect(await get()).toEqual({ reused: false, status: 200 })
    const options = { host: '127.0.0.1', port: tlsPort, servername: 'a.example', rejectUnauthorized: false }
    const first = connect({ ...options, maxVersion: 'TLSv1.2' })
    const [session] = await once(first, 'session')
    first.destroy()

    const renewed = once(manager, 'renewed')
    t.clock.set(63 * day)
    await handshake(tlsPort, 'a.example')
    await renewed
    const after = await manager.getCertificate('a.example')
    expect(after.serialNumber).not.toBe(before.serialNumber)
    expect(after.key).not.toBe(before.key)
    expect(await get()).toEqual({ reused: true, status: 200 })
    const second = connect({ ...options, maxVersion: 'TLSv1.2', session })
    await once(second, 'secureConnect')
    expect(second.isSessionReused()).toBe(true)
    second.destroy()
    agent.destroy()
  })
})
