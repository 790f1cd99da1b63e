import { describe, test } from 'vitest'
import { certCacheContract } from '../../../src/testing/index.js'
import { openPlace, type SqlBackend } from './place.js'

/** Time-out of an operation whose connection is cut. */
const cutOffMs = 10_000
/** Matches the case that waits for this time-out if a connection can be cut. */
const waitsForTimeout = /a failure is never a miss$/

/** Registers the contract's quick cases, or the slow ones, which wait for a time-out or for a lock to expire. */
export function sqlContract(backend: SqlBackend, part: 'quick' | 'slow') {
  const cases = certCacheContract({
    async open() {
      const { place, own, connection, cacheOn, close } = await openPlace(backend)
      const store = cacheOn(own.database, cutOffMs)
      await store.createTables()
      const peer = async () => cacheOn((await connection(place.direct)).database)
      // A file has no connection to cut, but a process can lose its handle.
      const { cut = own.close, mend } = place
      return { store, peer, cutOff: cut, ...(mend && { mend }), close }
    },
  }).filter(({ name, timeoutMs }) => {
    const isSlow = timeoutMs > 60_000 || (backend.isServer && waitsForTimeout.test(name))
    return isSlow === (part === 'slow')
  })
  // Slow cases wait concurrently. Quick cases share one thread or session, so each would wait for the others.
  describe(`SqlCertCache on ${backend.name} keeps the contract`, { concurrent: part === 'slow' }, () => {
    for (const { name, run, timeoutMs } of cases) test(name, { timeout: timeoutMs }, run)
  })
}
