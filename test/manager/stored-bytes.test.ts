import { randomBytes } from 'node:crypto'
import { beforeEach, describe, expect, test } from 'vitest'
import { makeBundle } from '../support/certificates.js'
import { LockingStore } from '../support/locking-store.js'
import { refusal, useManagers } from '../support/managers.js'
import { StillClock } from '../support/still-clock.js'
import { handshake } from '../support/tls.js'

const t = useManagers()

describe('stored bytes that cannot be served', () => {
  const host = 'a.example'
  // With locks, the value is read twice: before the lock is acquired, and under it.
  beforeEach(() => {
    t.store = new LockingStore()
  })

  test.each([
    ['random bytes', () => randomBytes(3_000), 'no private key'],
    ['truncated', async () => (await makeBundle({ host })).data.subarray(0, 700), 'no certificate'],
    [
      'expired',
      async () => (await makeBundle({ host, notBefore: new Date(0), notAfter: new Date(1_000) })).data,
      'expired',
    ],
    ['for another host', async () => (await makeBundle({ host: 'b.example' })).data, 'another host'],
    [
      'of the other key type',
      async () => (await makeBundle({ host, keyType: 'rsa' })).data,
      'another key type',
    ],
    ['10 MB', () => Buffer.alloc(10_000_000, 'x'), 'too large'],
    [
      'with a key that does not match',
      async () => {
        const [{ chain }, { key }] = [await makeBundle({ host }), await makeBundle({ host })]
        return Buffer.from(`${key.export({ format: 'pem', type: 'sec1' })}${chain}`)
      },
      'key mismatch',
    ],
  ])('are a miss that is reported once and ordered once: %s', async (_, bytes, reason) => {
    t.store.values.set(host, await bytes())
    const { tlsPort, events } = await t.machine()
    const all = await Promise.all(Array.from({ length: 10 }, () => handshake(tlsPort, host)))
    expect(new Set(all.map(({ serialNumber }) => serialNumber)).size).toBe(1)
    expect(events.invalid).toEqual([{ host, key: host, reason }])
    expect(t.ca.ordersFor(host)).toBe(1)
  })

  test('are reported once even while orders are postponed, and again when they change', async () => {
    const clock = new StillClock()
    t.ca.fault({ on: 'newOrder', type: 'rateLimited', retryAfter: 86_400 })
    const { tlsPort, events } = await t.machine({ clock })
    for (const reports of [1, 2]) {
      t.store.values.set(host, randomBytes(3_000))
      for (let i = 0; i < 5; i++) await expect(handshake(tlsPort, host)).rejects.toMatchObject(refusal)
      expect(events.invalid).toHaveLength(reports)
      clock.advance(5_000)
    }
  })
})
