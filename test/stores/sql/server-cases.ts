import { inspect } from 'node:util'
import { describe, expect, test } from 'vitest'
import { openStores, type SqlBackend } from './place.js'

/** Registers the cases that need a connection to a database server. */
export function serverCases(backend: SqlBackend) {
  describe.concurrent(`SqlCertCache on the server ${backend.name}`, () => {
    test('dropped connections are replaced, and a held lock survives', {
      timeout: 60_000,
    }, async (context) => {
      const { cache, peer, place } = await openStores(backend, context)
      const lock = (await cache.tryLock('a.example')) ?? expect.unreachable()
      await cache.put('a.example', Buffer.from('before'))
      place.drop?.()
      const read = async () => Buffer.from((await cache.get('a.example')) ?? []).toString()
      await context.expect.poll(() => read().catch(({ code }) => code)).toBe('before')
      expect(await peer.tryLock('a.example')).toBeUndefined()
      expect(lock.signal.aborted).toBe(false)
      await lock.release()
      const next = await peer.tryLock('a.example')
      expect(next).toBeDefined()
      await next?.release()
    })

    test('a request rejects if its connection drops', async (context) => {
      const { cache, place } = await openStores(backend, context)
      await cache.get('a.example')
      place.cut?.()
      const refused = expect(cache.get('a.example')).rejects.toMatchObject({ code: 'ERR_STORE_UNREACHABLE' })
      // The request has been sent when the connection ends.
      await new Promise((resolve) => setImmediate(resolve))
      place.drop?.()
      await refused
    })

    test('a put that timed out is not sent later', async (context) => {
      const { own, place, peer, cacheOn, cache } = await openStores(backend, context)
      await cache.put('a.example', Buffer.from('first'))
      const hasty = cacheOn(own.database, 300)
      place.cut?.()
      // More puts than the pool has connections: some wait for one.
      const puts = Array.from({ length: 12 }, () => hasty.put('a.example', Buffer.from('stale')))
      const outcomes = await Promise.allSettled(puts)
      for (const outcome of outcomes)
        expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'ERR_STORE_TIMEOUT' } })
      place.mend?.()
      // Every connection of the pool answers again.
      await Promise.all(Array.from({ length: 12 }, () => cache.get('b.example')))
      expect(Buffer.from((await peer.get('a.example')) ?? []).toString()).toBe('first')
    })

    test('inspecting the cache shows no part of the pool, and inspecting an error no part of a value', async (context) => {
      const { cache, other, table, key } = await openStores(backend, context)
      expect(inspect(cache, { depth: 9, showHidden: true })).not.toMatch(/password|127\.0\.0\.1|Pool/)
      await other.query(`drop table ${table}`)
      await other.query(
        `create table ${table} (${key} varchar(400) primary key, data varchar(3), created_at varchar(9))`,
      )
      const error = await cache.put('a.example', Buffer.from('a secret')).catch((thrown) => thrown)
      expect(error).toMatchObject({ name: 'StoreError' })
      expect(inspect(error, { depth: 9, showHidden: true })).not.toMatch(/secret|6120736563726574/)
    })
  })
}
