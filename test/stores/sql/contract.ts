import { describe, test } from 'vitest'
import { certCacheContract } from '../../../src/testing/index.js'
import { openPlace, type SqlBackend } from './place.js'

/** Bound of an operation whose connection is cut. */
const cutOffMs = 10_000
/** Waits for that bound where a connection can be cut. */
const waitsForTimeout = /^a failure is never a miss/

/** The contract's cases that take moments, or those that wait for a time-out or for a lock to end. */
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
  // The slow cases wait side by side. The quick ones share one thread or one session: each would pay for the others.
  describe(`SqlCertCache on ${backend.name} keeps the contract`, { concurrent: part === 'slow' }, () => {
    for (const { name, run, timeoutMs } of cases) test(name, { timeout: timeoutMs }, run)
  })
}
