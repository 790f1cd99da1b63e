import { once } from 'node:events'
import { describe, expect, test } from 'vitest'
import { day, refusal, useManagers } from '../support/managers.js'
import { handshake } from '../support/tls.js'

const t = useManagers()

describe('renewal', () => {
  test('a due certificate is renewed once, in the background of a handshake', async () => {
    const { tlsPort, events, manager } = await t.machine()
    const { serialNumber } = await handshake(tlsPort, 'a.example')
    t.clock.set(59 * day)
    expect(await handshake(tlsPort, 'a.example')).toMatchObject({ serialNumber })
    expect(t.ca.counts.orders).toBe(1)
    t.clock.set(3 * day)
    const renewed = once(manager, 'renewed')
    const all = await Promise.all(Array.from({ length: 10 }, () => handshake(tlsPort, 'a.example')))
    expect(new Set(all.map((seen) => seen.serialNumber))).toEqual(new Set([serialNumber]))
    const [{ serialNumber: next }] = await renewed
    expect(await handshake(tlsPort, 'a.example')).toMatchObject({ serialNumber: next })
    expect(t.ca.counts.orders).toBe(2)
    expect(events.issued).toHaveLength(1)
  })

  test('a certificate that a peer has renewed is adopted, not ordered again', async () => {
    const one = await t.machine()
    const two = await t.machine()
    t.gate.target = one.tlsPort
    await handshake(one.tlsPort, 'a.example')
    await handshake(two.tlsPort, 'a.example')
    t.clock.set(63 * day)
    const renewed = once(one.manager, 'renewed')
    await handshake(one.tlsPort, 'a.example')
    const [{ serialNumber }] = await renewed
    const adopted = once(two.manager, 'adopted')
    await handshake(two.tlsPort, 'a.example')
    await adopted
    expect(await handshake(two.tlsPort, 'a.example')).toMatchObject({ serialNumber })
    expect(t.ca.counts.orders).toBe(2)
  })

  test('a failed renewal does not affect the served certificate until it expires, and is not repeated at once', async () => {
    const { tlsPort, events, manager } = await t.machine()
    const { serialNumber } = await handshake(tlsPort, 'a.example')
    t.clock.set(63 * day)
    const fault = t.ca.fault({ on: 'newOrder', type: 'rateLimited', retryAfter: 60, times: 100 })
    const failed = once(manager, 'renewalFailed')
    expect(await handshake(tlsPort, 'a.example')).toMatchObject({ serialNumber })
    await failed
    t.store.take()
    for (let i = 0; i < 5; i++) expect(await handshake(tlsPort, 'a.example')).toMatchObject({ serialNumber })
    expect(fault.hits).toBe(1)
    expect(t.store.take()).toEqual([])
    expect(manager.status()).toMatchObject([
      { host: 'a.example', lastError: { code: 'ERR_ISSUANCE_FAILED' } },
    ])
    t.clock.jump(27 * day)
    await expect(handshake(tlsPort, 'a.example')).rejects.toMatchObject(refusal)
    expect(events.invalid).toMatchObject([{ reason: 'expired' }])
  })

  /** A machine whose renewal on day 62 has met a Retry-After of 30 years. */
  async function renewalPostponedForYears() {
    const machine = await t.machine()
    const { serialNumber } = await handshake(machine.tlsPort, 'a.example')
    const fault = t.ca.fault({
      on: 'newOrder',
      status: 503,
      body: '<html></html>',
      contentType: 'text/html',
      retryAfter: 999_999_999,
      times: Infinity,
    })
    const failed = once(machine.manager, 'renewalFailed')
    t.clock.jump(62.5 * day)
    await failed
    fault.remove()
    // The check that has failed has ended by now.
    expect(await handshake(machine.tlsPort, 'a.example')).toMatchObject({ serialNumber })
    return machine
  }

  test('a Retry-After of 30 years postpones a renewal by 7 days', async () => {
    const { manager } = await renewalPostponedForYears()
    t.clock.jump(6.9 * day)
    await manager.getCertificate('b.example')
    expect(t.ca.ordersFor('a.example')).toBe(1)
    const renewed = once(manager, 'renewed')
    t.clock.jump(0.2 * day)
    await renewed
  })

  test('a renewal that is postponed is attempted within an hour after its record is deleted', async () => {
    const { manager } = await renewalPostponedForYears()
    t.store.values.delete('a.example+failure')
    const renewed = once(manager, 'renewed')
    t.clock.jump(3_600_000)
    await renewed
  })

  test('a store failure does not affect a due certificate; the store is read again after 1, 2 … minutes', async () => {
    const { tlsPort, manager } = await t.machine()
    const { serialNumber } = await handshake(tlsPort, 'a.example')
    t.clock.set(63 * day)
    t.store.before = () => Promise.reject(new Error('down'))
    t.store.take()
    for (let minute = 0; minute < 2; minute++) {
      const failed = once(manager, 'renewalFailed')
      expect(await handshake(tlsPort, 'a.example')).toMatchObject({ serialNumber })
      await failed
      for (let i = 0; i < 3; i++)
        expect(await handshake(tlsPort, 'a.example')).toMatchObject({ serialNumber })
      // One read for the CA's window and one for a peer's certificate, however many handshakes.
      expect(t.store.take()).toEqual(['get a.example+renewal', 'get a.example'])
      t.clock.jump(2 ** minute * 60_000)
    }
    expect(t.ca.counts.orders).toBe(1)
  })

  test('a machine that serves the old certificate answers a renewal’s challenge from the store', async () => {
    const one = await t.machine()
    const two = await t.machine()
    t.gate.target = one.tlsPort
    const { serialNumber } = await handshake(one.tlsPort, 'a.example')
    expect(await handshake(two.tlsPort, 'a.example')).toMatchObject({ serialNumber })
    t.gate.target = two.tlsPort
    t.clock.set(63 * day)
    const answers: string[] = []
    two.manager.on('challengeAnswered', ({ type, from }) => answers.push(`${type} from ${from}`))
    const renewed = once(one.manager, 'renewed')
    await handshake(one.tlsPort, 'a.example')
    await renewed
    expect(answers).toEqual(['tls-alpn-01 from store'])
    expect(two.events.issued).toBeUndefined()
  })

  test('the validation of a renewal over TLS 1.2 is answered from memory', async () => {
    const { tlsPort } = await t.machine()
    const { serialNumber } = await handshake(tlsPort, 'a.example')
    t.clock.set(63 * day)
    t.ca.validationDelayMs = 60_000
    const overTls12 = (ALPNProtocols: string[]) =>
      handshake(tlsPort, 'a.example', { ALPNProtocols, maxVersion: 'TLSv1.2' })
    expect(await overTls12(['http/1.1'])).toMatchObject({ serialNumber })
    await expect.poll(() => t.store.values.has('a.example+token')).toBe(true)
    const answer = await overTls12(['acme-tls/1'])
    expect(answer).toMatchObject({ alpn: 'acme-tls/1', names: 'DNS:a.example', protocol: 'TLSv1.2' })
    expect(answer.serialNumber).not.toBe(serialNumber)
  })

  test('renewBeforeMs sets when a certificate is due', async () => {
    const { manager } = await t.machine({ renewBeforeMs: 10 * day })
    const { notAfter } = await manager.getCertificate('a.example')
    const [status] = manager.status()
    const before = (Number(notAfter) - Number(status?.renewAt)) / day
    expect(before).toBeGreaterThan(8)
    expect(before).toBeLessThanOrEqual(10)
  })
})
