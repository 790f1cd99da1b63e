import { expect, test } from 'vitest'
import { StoreError } from '../../src/index.js'
import { LockingStore } from '../support/locking-store.js'
import { useManagers } from '../support/managers.js'
import { MemoryStore } from '../support/memory-store.js'
import { StillClock } from '../support/still-clock.js'

// A store that can be read but not written: what a machine orders cannot be stored.

const t = useManagers()

const hosts = Array.from({ length: 2_000 }, (_, index) => `h${index}.example`)

const denied = () => new StoreError('ERR_STORE_PERMISSION', 'no', { statusCode: 403 })
const busy = () => new StoreError('ERR_STORE_FAILED', 'no', { statusCode: 503 })
const late = () => new StoreError('ERR_STORE_TIMEOUT', 'no')
const withoutLocks = () => new MemoryStore()
const withLocks = () => new LockingStore()
const writes = ['put', 'delete']

test.each([
  ['without locks', '403', withoutLocks, writes, denied],
  ['with locks', '403', withLocks, writes, denied],
  ['with locks, which it refuses too', '403', withLocks, [...writes, 'lock'], denied],
  ['with locks', '503', withLocks, writes, busy],
  ['without locks', 'a time-out', withoutLocks, writes, late],
])(
  'a store %s that refuses writes with %s: at most 3 orders in 10 minutes of handshakes for 2,000 hosts',
  async (_kind, _error, createStore, operations, createError) => {
    const store = createStore()
    const clock = new StillClock()
    const { manager } = await t.machine({ cache: store, clock, hostPolicy: () => true })
    // The account exists, as in a fleet that has worked before.
    await manager.getCertificate('a.example')
    const before = t.ca.counts.orders
    let isRefused = true
    store.before = (operation) => {
      if (isRefused && operations.includes(operation)) throw createError()
    }
    for (let seconds = 0; seconds < 600; seconds += 60) {
      const results = await Promise.allSettled(hosts.map((host) => manager.getCertificate(host)))
      expect(results.filter(({ status }) => status === 'fulfilled')).toEqual([])
      clock.advance(60_000)
    }
    expect(t.ca.counts.orders - before).toBeLessThanOrEqual(3)
    isRefused = false
    clock.advance(15_000)
    await manager.getCertificate('h0.example')
  },
)
