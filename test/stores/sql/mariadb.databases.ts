import mysql, { type ConnectionOptions } from 'mysql2/promise'
import { expect, inject, onTestFinished, test } from 'vitest'
import { SqlCertCache } from '../../../src/stores/sql/index.js'
import { sqlCases } from './cases.js'
import { sqlFleet } from './fleet.js'
import { sqlLeaseCases } from './lease-cases.js'
import { openRelay } from './relay.js'
import { serverCases } from './server-cases.js'

const { mariadb: path } = inject('databases')

const backend = {
  name: 'MariaDB',
  isServer: true,
  async open() {
    const relay = await openRelay({ path })
    const direct = await openRelay({ path })
    const target = { kind: 'mariadb' as const, user: 'root', database: 'certificates' }
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
sqlFleet('MariaDB', path, { kind: 'mariadb', user: 'root', database: 'certificates' })

const address = { socketPath: path, user: 'root', database: 'certificates' }

const connect = (settings: ConnectionOptions = {}) => {
  const pool = mysql.createPool({ ...address, ...settings })
  onTestFinished(() => pool.end())
  return pool
}

test('wrong credentials, a missing permission and a missing database cause different errors', async () => {
  const admin = connect()
  await admin.query("create user guarded identified by 'right'")
  const cache = new SqlCertCache(admin, { table: 'guarded_cache' })
  await cache.createTables()
  await cache.put('a.example', Buffer.from('value'))
  const as = (settings: ConnectionOptions) =>
    new SqlCertCache(connect({ user: 'guarded', ...settings }), { table: 'guarded_cache' })
  const credentials = { code: 'ERR_STORE_CREDENTIALS', message: expect.not.stringContaining('wrong') }
  await expect(as({ password: 'wrong' }).get('a.example')).rejects.toMatchObject(credentials)
  await expect(as({ password: 'right' }).get('a.example')).rejects.toMatchObject({
    code: 'ERR_STORE_PERMISSION',
  })
  for (const table of ['guarded_cache', 'guarded_cache_locks'])
    await admin.query(`grant select, insert, update, delete on certificates.${table} to guarded`)
  const allowed = as({ password: 'right' })
  await allowed.createTables()
  await allowed.put('a.example', Buffer.from('other'))
  await (await allowed.tryLock('a.example'))?.release()
  const elsewhere = new SqlCertCache(connect({ database: 'nowhere' }), { table: 'guarded_cache' })
  await expect(elsewhere.get('a.example')).rejects.toMatchObject({ code: 'ERR_STORE_CONTAINER' })
})

test('keys are bytes: keys that differ only in case or in a space at either end stay distinct', async () => {
  const cache = new SqlCertCache(connect(), { table: 'twins' })
  await cache.createTables()
  const twins = ['token', 'Token', 'TOKEN', 'token ', ' token']
  for (const key of twins) await cache.put(key, Buffer.from(key))
  for (const key of twins) expect(Buffer.from((await cache.get(key)) ?? []).toString()).toBe(key)
  await cache.delete('token')
  expect(await cache.get('token')).toBeUndefined()
  expect(await cache.get('Token')).toBeDefined()
  for (const key of twins) expect(await cache.tryLock(key)).toBeDefined()
})

test('settings of the server and the connection do not affect the store', async () => {
  const modes = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT'
  const pool = connect({
    rowsAsArray: true,
    nestTables: '_',
    dateStrings: true,
    namedPlaceholders: true,
    flags: ['-FOUND_ROWS'],
  })
  pool.pool.on('connection', (connection) => {
    connection.query(`set sql_mode = '${modes}', time_zone = '+05:30'`)
  })
  const cache = new SqlCertCache(pool, { table: 'settings' })
  await cache.createTables()
  const bytes = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))
  await cache.put("it's", bytes)
  expect(Buffer.compare((await cache.get("it's")) ?? Buffer.alloc(0), bytes)).toBe(0)
  for await (const { name, size, modified } of cache.list()) {
    expect([name, size]).toEqual(["it's", 256])
    expect(Math.abs(modified.getTime() - Date.now())).toBeLessThan(60_000)
  }
  const lock = await cache.tryLock("it's")
  expect(lock).toBeDefined()
  expect(await cache.tryLock("it's")).toBeUndefined()
  await lock?.release()
  const again = await cache.tryLock("it's")
  expect(again).toBeDefined()
  await again?.release()
})

test('a read-only database grants no lock, and is not reported as a missing permission', async () => {
  await new SqlCertCache(connect(), { table: 'replica_cache' }).createTables()
  const pool = connect()
  pool.pool.on('connection', (connection) => {
    connection.query('set session transaction read only')
  })
  const cache = new SqlCertCache(pool, { table: 'replica_cache' })
  const readOnly = { code: 'ERR_STORE_FAILED', message: expect.stringContaining('read-only') }
  await expect(cache.tryLock('a.example')).rejects.toMatchObject(readOnly)
  await expect(cache.put('a.example', Buffer.from('value'))).rejects.toMatchObject(readOnly)
  expect(await cache.get('a.example')).toBeUndefined()
})

test('a single connection works without a pool, and rejects as unreachable once it has ended', async () => {
  const connection = await mysql.createConnection(address)
  const cache = new SqlCertCache(connection, { table: 'single_cache' })
  await cache.createTables()
  await cache.put('a.example', Buffer.from('value'))
  expect(await cache.get('a.example')).toBeDefined()
  await connection.end()
  await expect(cache.get('a.example')).rejects.toMatchObject({ code: 'ERR_STORE_UNREACHABLE' })
})

test('an operation that timed out on a single connection is not sent later', async () => {
  const connection = await mysql.createConnection(address)
  onTestFinished(() => connection.end())
  const pool = connect()
  const other = new SqlCertCache(pool, { table: 'turns_cache' })
  await other.createTables()
  const blocker = await pool.getConnection()
  await blocker.query('lock tables turns_cache write')
  const cache = new SqlCertCache(connection, { table: 'turns_cache', timeoutMs: 300 })
  const late = { code: 'ERR_STORE_TIMEOUT' }
  const operations = [cache.get('a.example'), cache.put('a.example', Buffer.from('stale'))]
  for (const outcome of await Promise.allSettled(operations))
    expect(outcome).toMatchObject({ status: 'rejected', reason: late })
  await blocker.query(
    "insert into turns_cache (`key`, data, created_at) values ('a.example', 'newer', now())",
  )
  await blocker.query('unlock tables')
  blocker.release()
  // The connection is free again, and has processed its queue.
  await expect.poll(() => cache.get('b.example').catch(({ code }) => code)).toBeUndefined()
  expect(Buffer.from((await other.get('a.example')) ?? []).toString()).toBe('newer')
})

test('every operation rejects if autocommit is off, because no write would be stored', async () => {
  const plain = new SqlCertCache(connect(), { table: 'uncommitted_cache' })
  await plain.createTables()
  const pool = connect({ connectionLimit: 1 })
  pool.pool.on('connection', (connection) => {
    connection.query('set session autocommit = 0')
  })
  const cache = new SqlCertCache(pool, { table: 'uncommitted_cache' })
  const off = { code: 'ERR_STORE_FAILED', message: expect.stringContaining('autocommit is off') }
  for (let times = 1; times <= 2; times++) {
    await expect(cache.put('a.example', Buffer.from('value'))).rejects.toMatchObject(off)
    await expect(cache.tryLock('a.example')).rejects.toMatchObject(off)
    await expect(cache.get('a.example')).rejects.toMatchObject(off)
  }
  const lock = await plain.tryLock('a.example')
  expect(lock).toBeDefined()
  await lock?.release()
})

test('the store queries the autocommit setting once per connection', async () => {
  const pool = connect({ connectionLimit: 1 })
  const cache = new SqlCertCache(pool, { table: 'asked_cache' })
  await cache.createTables()
  const executed = async () => {
    const [[row]] = (await pool.query("show session status like 'Com_stmt_execute'")) as unknown as [
      [{ Value: string }],
    ]
    return Number(row.Value)
  }
  const before = await executed()
  for (let times = 1; times <= 5; times++) await cache.get('a.example')
  expect(await executed()).toBe(before + 5)
})

test('get rejects if the pool’s settings turn a value into something other than bytes', async () => {
  const pool = connect({ typeCast: (field, next) => (field.type.includes('BLOB') ? field.string() : next()) })
  const cache = new SqlCertCache(pool, { table: 'cast_cache' })
  await cache.createTables()
  await cache.put('a.example', Buffer.from('value'))
  await expect(cache.get('a.example')).rejects.toMatchObject({
    code: 'ERR_STORE_FAILED',
    message: expect.stringMatching(/did not return the value as bytes.*typeCast/),
  })
})
