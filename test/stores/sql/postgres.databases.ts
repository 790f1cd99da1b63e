import { dirname } from 'node:path'
import pg from 'pg'
import { expect, inject, onTestFinished, test } from 'vitest'
import { SqlCertCache } from '../../../src/stores/sql/index.js'
import { sqlCases } from './cases.js'
import { sqlFleet } from './fleet.js'
import { sqlLeaseCases } from './lease-cases.js'
import { postgresCases } from './postgres-cases.js'
import { openRelay } from './relay.js'
import { serverCases } from './server-cases.js'

const { postgres: path, user } = inject('databases')

const backend = {
  name: 'PostgreSQL',
  isServer: true,
  async open() {
    const relay = await openRelay({ path })
    const direct = await openRelay({ path })
    const target = { kind: 'postgres' as const, user, database: 'postgres' }
    return {
      ...relay,
      target: { ...target, port: relay.port },
      direct: { ...target, port: direct.port },
      async close() {
        await relay.close()
        await direct.close()
      },
    }
  },
}
sqlCases(backend)
sqlLeaseCases(backend)
serverCases(backend)
sqlFleet('PostgreSQL', path, { kind: 'postgres', user, database: 'postgres' })

const address = { host: dirname(path), user, database: 'postgres' }
postgresCases('PostgreSQL', () => address)

const connect = (settings: pg.PoolConfig = {}) => {
  const pool = new pg.Pool({ ...address, ...settings })
  onTestFinished(() => pool.end())
  return pool
}

test('wrong credentials, a missing permission and a missing database cause different errors', async () => {
  const admin = connect()
  await admin.query("create role guarded login password 'right'")
  const cache = new SqlCertCache(admin, { table: 'guarded_cache' })
  await cache.createTables()
  await cache.put('a.example', Buffer.from('value'))
  const as = (settings: pg.PoolConfig) =>
    new SqlCertCache(connect({ user: 'guarded', ...settings }), { table: 'guarded_cache' })
  const credentials = { code: 'ERR_STORE_CREDENTIALS', message: expect.not.stringContaining('wrong') }
  await expect(as({ password: 'wrong' }).get('a.example')).rejects.toMatchObject(credentials)
  const allowed = as({ password: 'right' })
  await expect(allowed.get('a.example')).rejects.toMatchObject({ code: 'ERR_STORE_PERMISSION' })
  const elsewhere = as({ password: 'right', database: 'nowhere' })
  await expect(elsewhere.get('a.example')).rejects.toMatchObject({ code: 'ERR_STORE_CONTAINER' })
  // Grants the rights to use the tables, but not to create them.
  await admin.query('grant select, insert, update, delete on guarded_cache, guarded_cache_locks to guarded')
  await allowed.createTables()
  await allowed.put('a.example', Buffer.from('other'))
  await (await allowed.tryLock('a.example'))?.release()
})

test('a put that loses a race succeeds even if transactions are serializable by default', async () => {
  const pool = connect({ options: '-c default_transaction_isolation=serializable' })
  const cache = new SqlCertCache(pool, { table: 'serializable_cache' })
  await cache.createTables()
  await cache.put('a.example', Buffer.from('first'))
  const other = await pool.connect()
  await other.query('begin')
  await other.query("update serializable_cache set data = 'other'")
  const put = cache.put('a.example', Buffer.from('last'))
  const waiting =
    "select from pg_stat_activity where wait_event_type = 'Lock' and query like '%serializable_cache%'"
  await expect.poll(async () => (await pool.query(waiting)).rowCount).toBe(1)
  await other.query('commit')
  other.release()
  await put
  expect(Buffer.from((await cache.get('a.example')) ?? []).toString()).toBe('last')
})

test('a read-only database grants no lock, and is not reported as a missing permission', async () => {
  await new SqlCertCache(connect(), { table: 'replica_cache' }).createTables()
  const cache = new SqlCertCache(connect({ options: '-c default_transaction_read_only=on' }), {
    table: 'replica_cache',
  })
  const readOnly = { code: 'ERR_STORE_FAILED', message: expect.stringContaining('read-only') }
  await expect(cache.tryLock('a.example')).rejects.toMatchObject(readOnly)
  await expect(cache.put('a.example', Buffer.from('value'))).rejects.toMatchObject(readOnly)
  expect(await cache.get('a.example')).toBeUndefined()
})

test('a single connection works without a pool, and rejects as unreachable once it has ended', async () => {
  const client = new pg.Client(address)
  client.on('error', () => {})
  await client.connect()
  const cache = new SqlCertCache(client, { table: 'single_cache' })
  await cache.createTables()
  await cache.put('a.example', Buffer.from('value'))
  expect(await cache.get('a.example')).toBeDefined()
  await client.end()
  await expect(cache.get('a.example')).rejects.toMatchObject({ code: 'ERR_STORE_UNREACHABLE' })
})

test('an operation that timed out on a single connection is not sent later', async () => {
  const client = new pg.Client(address)
  await client.connect()
  onTestFinished(() => client.end())
  const pool = connect()
  const other = new SqlCertCache(pool, { table: 'turns_cache' })
  await other.createTables()
  const blocker = await pool.connect()
  await blocker.query('begin')
  await blocker.query('lock table turns_cache in access exclusive mode')
  const cache = new SqlCertCache(client, { table: 'turns_cache', timeoutMs: 300 })
  const late = { code: 'ERR_STORE_TIMEOUT' }
  const operations = [cache.get('a.example'), cache.put('a.example', Buffer.from('stale'))]
  for (const outcome of await Promise.allSettled(operations))
    expect(outcome).toMatchObject({ status: 'rejected', reason: late })
  await blocker.query("insert into turns_cache (key, data, created_at) values ('a.example', 'newer', now())")
  await blocker.query('commit')
  blocker.release()
  // The connection is free again, and has processed its queue.
  await expect.poll(() => cache.get('b.example').catch(({ code }) => code)).toBeUndefined()
  expect(Buffer.from((await other.get('a.example')) ?? []).toString()).toBe('newer')
})

test('get rejects if the pool’s settings turn a value into something other than bytes', async () => {
  const pool = connect({ types: { getTypeParser: () => (value: string) => value } })
  const cache = new SqlCertCache(pool, { table: 'cast_cache' })
  await cache.createTables()
  await cache.put('a.example', Buffer.from('value'))
  await expect(cache.get('a.example')).rejects.toMatchObject({
    code: 'ERR_STORE_FAILED',
    message: expect.stringMatching(/did not return the value as bytes.*types of pg/),
  })
})

test('a statement that the server cancels rejects as a time-out', async () => {
  const pool = connect()
  await new SqlCertCache(pool, { table: 'bounded_cache' }).createTables()
  const cache = new SqlCertCache(connect({ statement_timeout: 200 }), { table: 'bounded_cache' })
  const blocker = await pool.connect()
  await blocker.query('begin')
  await blocker.query('lock table bounded_cache in access exclusive mode')
  await expect(cache.get('a.example')).rejects.toMatchObject({
    code: 'ERR_STORE_TIMEOUT',
    message: expect.stringContaining('57014'),
  })
  await blocker.query('commit')
  blocker.release()
})
