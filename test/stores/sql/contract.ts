import { describe, test } from 'vitest'
import { certCacheContract } from '../../../src/testing/index.js'
import { openPlace, type SqlBackend } from './place.js'

/** Bound of an operation whose connection is cut. */
const cutOffMs = 10_000

/** The contract's cases that take seconds, or those that wait for locks to end. */
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
  })
  describe.concurrent(`SqlCertCache on ${backend.name} keeps the contract`, () => {
    for (const { name, run, timeoutMs } of cases)
      if (timeoutMs > 60_000 === (part === 'slow')) test(name, { timeout: timeoutMs }, run)
  })
}
