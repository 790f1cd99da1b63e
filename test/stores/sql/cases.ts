import { describe, expect, test, vi } from 'vitest'
import { LockLostError } from '../../../src/index.js'
import { sqlContract } from './contract.js'
import { killHolder } from './holder.js'
import { heldLock, openPlace, openStores, type SqlBackend } from './place.js'

/** Registers the cases of every dialect. */
export function sqlCases(backend: SqlBackend) {
  sqlContract(backend, 'quick')

  describe.concurrent(`SqlCertCache on ${backend.name}`, () => {
    test('many machines create the tables at once; creating them again keeps their values', async ({
      onTestFinished,
    }) => {
      const { place, connection, cacheOn, close } = await openPlace(backend)
      onTestFinished(close)
      const pools = await Promise.all(Array.from({ length: 6 }, () => connection(place.direct)))
      await Promise.all(pools.map(({ database }) => cacheOn(database).createTables()))
      const cache = cacheOn(pools[0]?.database ?? expect.unreachable())
      await cache.put('a.example', Buffer.from('kept'))
      await cache.createTables()
      expect(Buffer.from((await cache.get('a.example')) ?? []).toString()).toBe('kept')
    })

    test('every operation rejects if the table is missing, with an error that names createTables()', async ({
      onTestFinished,
    }) => {
      const { own, cacheOn, close, table } = await openPlace(backend)
      onTestFinished(close)
      const cache = cacheOn(own.database)
      const missing = { code: 'ERR_STORE_CONTAINER', message: expect.stringContaining('createTables()') }
      await expect(cache.get('a.example')).rejects.toMatchObject(missing)
      await expect(cache.put('a.example', Buffer.from('value'))).rejects.toMatchObject(missing)
      await expect(cache.delete('a.example')).rejects.toMatchObject(missing)
      await expect(cache.tryLock('a.example')).rejects.toMatchObject(missing)
      await expect(cache.get('a.example')).rejects.toThrow(`cannot read "a.example" from table "${table}": `)
    })

    test('replacing a value keeps created_at and sets updated_at', async (context) => {
      const { cache, other, table } = await openStores(backend, context)
      await cache.put('a.example', Buffer.from('one'))
      const first = await other.query(`select created_at, updated_at from ${table}`)
      expect(first).toMatchObject([{ updated_at: null }])
      await cache.put('a.example', Buffer.from('two'))
      const [row] = await other.query(`select created_at, updated_at from ${table}`)
      expect(row.created_at).toEqual(first[0]?.created_at)
      expect(row.updated_at).not.toBeNull()
    })

    test('a key longer than the column is rejected, not truncated', async (context) => {
      const { cache } = await openStores(backend, context)
      const keyOf400 = 'a'.repeat(400)
      await cache.put(keyOf400, Buffer.from('value'))
      expect(await cache.get(keyOf400)).toBeDefined()
      const tooLong = { code: 'ERR_STORE_ENTRY', message: expect.stringContaining('400') }
      await expect(cache.put(`${keyOf400}a`, Buffer.from('value'))).rejects.toMatchObject(tooLong)
      await expect(cache.tryLock(`${keyOf400}a`)).rejects.toMatchObject(tooLong)
    })

    test('the lock of a killed process can be acquired after it has expired, not before', async (context) => {
      const { cache, peer, other, place, table } = await openStores(backend, context)
      await killHolder(place.direct, table)
      expect(await cache.tryLock('a.example')).toBeUndefined()
      await other.query(`update ${table}_locks set expires_at = '2020-01-01 00:00:00'`)
      const lock = await heldLock(peer)
      expect(await cache.tryLock('a.example')).toBeUndefined()
      await lock.release()
    })

    test('an expired lock of any owner is free', async (context) => {
      const { cache, other, table } = await openStores(backend, context)
      const row = `insert into ${table}_locks (name, owner, expires_at) values`
      await other.query(`${row} ('a.example', 'somebody', '2020-01-01 00:00:00')`)
      await other.query(`${row} ('b.example', 'somebody', '2199-01-01 00:00:00')`)
      const lock = await heldLock(cache)
      expect(await cache.tryLock('b.example')).toBeUndefined()
      await lock.release()
    })

    test('an operation whose signal is already aborted sends no statement', async (context) => {
      const { cache, peer } = await openStores(backend, context)
      const signal = AbortSignal.abort(new Error('no more'))
      await expect(cache.put('a.example', Buffer.from('value'), { signal })).rejects.toThrow('no more')
      await expect(cache.tryLock('a.example', { signal })).rejects.toThrow('no more')
      await expect(cache.createTables({ signal })).rejects.toThrow('no more')
      expect(await peer.get('a.example')).toBeUndefined()
      await (await heldLock(peer)).release()
    })
  })

  // Not concurrent, since it stops the clock of the whole process.
  test(`on ${backend.name} the next renewal of a stolen lock aborts its signal; its release keeps the new holder’s lock`, async (context) => {
    const { cache, peer, other, table } = await openStores(backend, context)
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance', 'Date'] })
    try {
      const lock = await heldLock(cache)
      await other.query(`delete from ${table}_locks`)
      const stolen = await heldLock(peer)
      expect(lock.signal.aborted).toBe(false)
      vi.advanceTimersByTime(10_000)
      await expect.poll(() => lock.signal.aborted).toBe(true)
      expect(lock.signal.reason).toBeInstanceOf(LockLostError)
      expect(stolen.signal.aborted).toBe(false)
      await lock.release()
      expect(await cache.tryLock('a.example')).toBeUndefined()
      await stolen.release()
      expect(await other.query(`select name from ${table}_locks`)).toEqual([])
    } finally {
      vi.useRealTimers()
    }
  })
}
