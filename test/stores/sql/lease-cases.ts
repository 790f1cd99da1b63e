import { describe, expect, test } from 'vitest'
import { LockLostError } from '../../../src/index.js'
import { sqlContract } from './contract.js'
import { killHolder } from './holder.js'
import { heldLock, openStores, type SqlBackend } from './place.js'

/** Registers the cases that wait for real leases to expire: up to 70 s each. */
export function sqlLeaseCases(backend: SqlBackend) {
  sqlContract(backend, 'slow')

  describe.concurrent(`leases of SqlCertCache on ${backend.name}`, () => {
    test('the lock of a killed process expires', async (context) => {
      const { cache, peer, place, table } = await openStores(backend, context)
      await killHolder(place.direct, table)
      expect(await cache.tryLock('a.example')).toBeUndefined()
      await context.expect.poll(() => peer.tryLock('a.example'), { interval: 500 }).toBeDefined()
    })

    test('the next renewal of a stolen lock aborts its signal', async (context) => {
      const { cache, peer, other, table } = await openStores(backend, context)
      const lock = await heldLock(cache)
      await other.query(`delete from ${table}_locks`)
      const stolen = await heldLock(peer)
      await context.expect.poll(() => lock.signal.aborted).toBe(true)
      expect(lock.signal.reason).toBeInstanceOf(LockLostError)
      expect(stolen.signal.aborted).toBe(false)
    })
  })
}
