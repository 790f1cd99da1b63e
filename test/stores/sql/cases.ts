import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { describe, expect, type TestContext, test } from 'vitest'
import { LockLostError } from '../../../src/index.js'
import { SqlCertCache } from '../../../src/stores/sql/index.js'
import { certCacheContract } from '../../../src/testing/index.js'
import { connectTo, type Target } from './connect.js'

/** Where a database is, and how the way to it is broken. */
export interface SqlPlace {
  /** What `store` goes through; `cut` and `drop` break it. */
  readonly target: Target
  /** Past everything that can be broken. */
  readonly direct: Target
  cut?(): void
  /** Ends `cut`, and with it the connections that it cut. */
  mend?(): void
  /** Ends the connections; new ones get through. */
  drop?(): void
  close(): Promise<void>
}

export interface SqlBackend {
  readonly name: string
  open(): Promise<SqlPlace>
}

const quotes = { sqlite: '"', postgres: '"', mariadb: '`' }

async function setUp(backend: SqlBackend) {
  const place = await backend.open()
  const table = `t_${randomUUID().replaceAll('-', '_')}`
  const closers: (() => Promise<unknown>)[] = [place.close]
  const connection = async (target: Target) => {
    const connected = await connectTo(target)
    closers.unshift(connected.close)
    return connected
  }
  const own = await connection(place.target)
  const other = await connection(place.direct)
  closers.unshift(async () => {
    for (const name of [table, `${table}_locks`]) await other.query(`drop table if exists ${name}`)
  })
  const close = async () => {
    // What was cut would keep its pool from ending.
    place.mend?.()
    for (const closer of closers.splice(0)) await closer()
  }
  const cacheOn = (database: ConstructorParameters<typeof SqlCertCache>[0], timeoutMs?: number) =>
    new SqlCertCache(database, { table, ...(timeoutMs === undefined ? {} : { timeoutMs }) })
  const key = `${quotes[place.target.kind]}key${quotes[place.target.kind]}`
  return { place, table, own, other, connection, cacheOn, close, key }
}

const tested = async (backend: SqlBackend, { onTestFinished }: TestContext) => {
  const all = await setUp(backend)
  onTestFinished(all.close)
  const cache = all.cacheOn(all.own.database)
  await cache.createTables()
  return { ...all, cache, peer: all.cacheOn(all.other.database) }
}

const contract = (backend: SqlBackend) =>
  certCacheContract({
    async open() {
      const { place, own, connection, cacheOn, close } = await setUp(backend)
      const store = cacheOn(own.database)
      await store.createTables()
      const peer = async () => cacheOn((await connection(place.direct)).database)
      // A file has no way to it that could be cut, but a process can lose its handle.
      const { cut = own.close, mend } = place
      return { store, peer, cutOff: cut, ...(mend && { mend }), close }
    },
  })

/** What every dialect has to do. */
export function sqlCases(backend: SqlBackend) {
  describe.concurrent(`SqlCertCache on ${backend.name} keeps the contract`, () => {
    for (const { name, run, timeoutMs } of contract(backend)) test(name, { timeout: timeoutMs }, run)
  })

  describe.concurrent(`SqlCertCache on ${backend.name}`, () => {
    test('the tables are made by many machines at once, and again', async ({ onTestFinished }) => {
      const { place, connection, cacheOn, close } = await setUp(backend)
      onTestFinished(close)
      const pools = await Promise.all(Array.from({ length: 6 }, () => connection(place.direct)))
      await Promise.all(pools.map(({ database }) => cacheOn(database).createTables()))
      const cache = cacheOn(pools[0]?.database ?? expect.unreachable())
      await cache.put('a.example', Buffer.from('kept'))
      await cache.createTables()
      expect(Buffer.from((await cache.get('a.example')) ?? []).toString()).toBe('kept')
    })

    test('missing tables are an error that says what to do, never a miss', async ({ onTestFinished }) => {
      const { own, cacheOn, close, table } = await setUp(backend)
      onTestFinished(close)
      const cache = cacheOn(own.database)
      const missing = { code: 'ERR_STORE_CONTAINER', message: expect.stringContaining('createTables()') }
      await expect(cache.get('a.example')).rejects.toMatchObject(missing)
      await expect(cache.put('a.example', Buffer.from('value'))).rejects.toMatchObject(missing)
      await expect(cache.delete('a.example')).rejects.toMatchObject(missing)
      await expect(cache.tryLock('a.example')).rejects.toMatchObject(missing)
      await expect(cache.get('a.example')).rejects.toThrow(`in table ${table}`)
    })

    test('a value replaced keeps when it was made, and says when it was replaced', async (context) => {
      const { cache, other, table } = await tested(backend, context)
      await cache.put('a.example', Buffer.from('one'))
      const first = await other.query(`select created_at, updated_at from ${table}`)
      expect(first).toMatchObject([{ updated_at: null }])
      await cache.put('a.example', Buffer.from('two'))
      const [row] = await other.query(`select created_at, updated_at from ${table}`)
      expect(row.created_at).toEqual(first[0]?.created_at)
      expect(row.updated_at).not.toBeNull()
    })

    test('a key longer than the column is refused, not cut', async (context) => {
      const { cache } = await tested(backend, context)
      const longest = 'a'.repeat(400)
      await cache.put(longest, Buffer.from('value'))
      expect(await cache.get(longest)).toBeDefined()
      const refused = { code: 'ERR_STORE_ENTRY', message: expect.stringContaining('400') }
      await expect(cache.put(`${longest}a`, Buffer.from('value'))).rejects.toMatchObject(refused)
      await expect(cache.tryLock(`${longest}a`)).rejects.toMatchObject(refused)
    })

    test('the lock of a killed process is taken over when it has expired', {
      timeout: 60_000,
    }, async (context) => {
      const { cache, peer, place, table } = await tested(backend, context)
      const holder = spawn(
        process.execPath,
        [fileURLToPath(new URL('holder.js', import.meta.url)), JSON.stringify(place.direct), table],
        { stdio: ['ignore', 'pipe', 'inherit'] },
      )
      const [told] = await once(holder.stdout, 'data')
      expect(String(told)).toBe('held\n')
      holder.kill('SIGKILL')
      await once(holder, 'exit')
      expect(await cache.tryLock('a.example')).toBeUndefined()
      await context.expect
        .poll(() => peer.tryLock('a.example'), { timeout: 40_000, interval: 500 })
        .toBeDefined()
    })

    test('a stolen lock aborts its signal at the next renewal, and its release leaves the thief’s', async (context) => {
      const { cache, peer, other, table } = await tested(backend, context)
      const lock = (await cache.tryLock('a.example')) ?? expect.unreachable()
      await other.query(`delete from ${table}_locks`)
      const stolen = (await peer.tryLock('a.example')) ?? expect.unreachable()
      await context.expect.poll(() => lock.signal.aborted, { timeout: 15_000 }).toBe(true)
      expect(lock.signal.reason).toBeInstanceOf(LockLostError)
      expect(stolen.signal.aborted).toBe(false)
      await lock.release()
      expect(await cache.tryLock('a.example')).toBeUndefined()
      await stolen.release()
      expect(await other.query(`select name from ${table}_locks`)).toEqual([])
    })

    test('an expired lock is nobody’s, whoever left it', async (context) => {
      const { cache, other, table } = await tested(backend, context)
      const row = `insert into ${table}_locks (name, owner, expires_at) values`
      await other.query(`${row} ('a.example', 'somebody', '2020-01-01 00:00:00')`)
      await other.query(`${row} ('b.example', 'somebody', '2199-01-01 00:00:00')`)
      const lock = await cache.tryLock('a.example')
      expect(lock).toBeDefined()
      expect(await cache.tryLock('b.example')).toBeUndefined()
      await lock?.release()
    })

    test('a signal that was aborted before asks nothing', async (context) => {
      const { cache, peer } = await tested(backend, context)
      const signal = AbortSignal.abort(new Error('no more'))
      await expect(cache.put('a.example', Buffer.from('value'), { signal })).rejects.toThrow('no more')
      await expect(cache.tryLock('a.example', { signal })).rejects.toThrow('no more')
      await expect(cache.createTables({ signal })).rejects.toThrow('no more')
      expect(await peer.get('a.example')).toBeUndefined()
    })
  })
}

/** What only a database at the other end of a connection has to do. */
export function serverCases(backend: SqlBackend) {
  describe.concurrent(`SqlCertCache on the server ${backend.name}`, () => {
    test('connections that dropped are replaced; a lock outlives them', {
      timeout: 60_000,
    }, async (context) => {
      const { cache, peer, place } = await tested(backend, context)
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

    test('a connection that drops under a request fails it, and nothing else', async (context) => {
      const { cache, place } = await tested(backend, context)
      await cache.get('a.example')
      place.cut?.()
      const refused = expect(cache.get('a.example')).rejects.toMatchObject({ code: 'ERR_STORE_UNREACHABLE' })
      // The request is on its way when the connection ends.
      await new Promise((resolve) => setImmediate(resolve))
      place.drop?.()
      await refused
    })

    test('what was given up is not sent later', async (context) => {
      const { own, place, peer, cacheOn, cache } = await tested(backend, context)
      await cache.put('a.example', Buffer.from('first'))
      const hasty = cacheOn(own.database, 300)
      place.cut?.()
      // More than the pool has connections: some wait for one.
      const puts = Array.from({ length: 12 }, () => hasty.put('a.example', Buffer.from('stale')))
      const outcomes = await Promise.allSettled(puts)
      for (const outcome of outcomes)
        expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'ERR_STORE_TIMEOUT' } })
      place.mend?.()
      // The pool is whole again: each of its connections answers.
      await Promise.all(Array.from({ length: 12 }, () => cache.get('b.example')))
      expect(Buffer.from((await peer.get('a.example')) ?? []).toString()).toBe('first')
    })

    test('nothing of the pool is seen in the cache, nothing of a value in an error', async (context) => {
      const { cache, other, table, key } = await tested(backend, context)
      const { inspect } = await import('node:util')
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
