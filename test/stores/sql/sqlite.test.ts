import { expect, onTestFinished, test, vi } from 'vitest'
import { SqlCertCache } from '../../../src/stores/sql/index.js'
import { sqlCases } from './cases.js'
import { openSqlite } from './sqlite.js'
import { sqliteFile } from './sqlite-file.js'

sqlCases(sqliteFile)

/** Opens a store in memory, with its tables. */
async function openCache() {
  const database = await openSqlite(':memory:')
  onTestFinished(() => database.close())
  const cache = new SqlCertCache(database)
  await cache.createTables()
  return { database, cache }
}

test('a read-only database fails tryLock and put with ERR_STORE_FAILED, not as a missing permission', async () => {
  const { cache, database } = await openCache()
  database.exec('pragma query_only = on')
  const readOnly = { code: 'ERR_STORE_FAILED', message: expect.stringContaining('read-only') }
  await expect(cache.tryLock('a.example')).rejects.toMatchObject(readOnly)
  await expect(cache.put('a.example', Buffer.from('value'))).rejects.toMatchObject(readOnly)
})

test('get rejects a value larger than 16 MiB without transferring it', async () => {
  const { cache, database } = await openCache()
  const put = (bytes: string) =>
    database.exec(
      `insert or replace into autocert_cache (key, data, created_at) values ('a.example', zeroblob(${bytes}), 'now')`,
    )
  put('16 * 1024 * 1024')
  expect(await cache.get('a.example')).toHaveLength(16 * 1024 * 1024)
  put('16 * 1024 * 1024 + 1')
  await expect(cache.get('a.example')).rejects.toMatchObject({ code: 'ERR_STORE_ENTRY' })
})

test('list yields the time of the last put, not of the first', async () => {
  const { cache, database } = await openCache()
  const modified = async () => {
    for await (const entry of cache.list()) return entry.modified
    return undefined
  }
  await cache.put('a.example', Buffer.from('first'))
  database.exec("update autocert_cache set created_at = '2020-01-01 00:00:00.000'")
  expect(await modified()).toEqual(new Date('2020-01-01T00:00:00Z'))
  await cache.put('a.example', Buffer.from('second'))
  expect(await modified()).not.toEqual(new Date('2020-01-01T00:00:00Z'))
})

test('get rejects a value that is not bytes', async () => {
  const { cache, database } = await openCache()
  database.exec("insert into autocert_cache (key, data, created_at) values ('a.example', 'text', 'now')")
  await expect(cache.get('a.example')).rejects.toMatchObject({ code: 'ERR_STORE_FAILED' })
})

test('a lock expires 30 s after it was acquired, and each renewal extends it', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  onTestFinished(() => void vi.useRealTimers())
  const { cache, database } = await openCache()
  const select = (expression: string) => {
    const [row] = database.prepare(`select ${expression} as value`).all() as [{ value: string }]
    return row.value
  }
  const leaseEnd = () => select("strftime('%Y-%m-%d %H:%M:%f', 'now', '+30 seconds')")
  const expiresAt = () => select('(select expires_at from autocert_cache_locks)')
  const before = leaseEnd()
  const lock = await cache.tryLock('a.example')
  expect(expiresAt() >= before && expiresAt() <= leaseEnd()).toBe(true)
  database.exec("update autocert_cache_locks set expires_at = '2020-01-01 00:00:00.000'")
  vi.advanceTimersByTime(10_000)
  await expect.poll(() => expiresAt() >= before).toBe(true)
  expect(expiresAt() <= leaseEnd()).toBe(true)
  await lock?.release()
})

/** A database on which every statement calls `run`, which throws or returns rows. */
function stub(run: (statement: string) => object[]) {
  const prepare = (statement: string) => ({
    all: () => run(statement),
    run: () => ({ changes: run(statement).length }),
  })
  return { exec: () => undefined, prepare }
}

const busy = () => Object.assign(new Error('another writer'), { errcode: 5 })

test('a statement that conflicts with another writer is retried', async () => {
  let conflicts = 3
  const statements: string[] = []
  const cache = new SqlCertCache(
    stub((statement) => {
      if (conflicts-- > 0) throw busy()
      return [{ statement: statements.push(statement) }]
    }),
  )
  await cache.delete('a.example')
  expect(statements).toHaveLength(1)
})

test('an operation times out after 5 s unless timeoutMs is set', async () => {
  vi.useFakeTimers()
  onTestFinished(() => void vi.useRealTimers())
  const settled: unknown[] = []
  const cache = new SqlCertCache(
    stub(() => {
      throw busy()
    }),
  )
  cache.get('a.example').catch((error) => settled.push(error))
  await vi.advanceTimersByTimeAsync(4_999)
  expect(settled).toEqual([])
  await vi.advanceTimersByTimeAsync(1)
  expect(settled).toMatchObject([{ code: 'ERR_STORE_TIMEOUT' }])
})

test('createTables creates no table if it cannot find out whether one exists', async () => {
  const created: string[] = []
  const cache = new SqlCertCache(
    stub((statement) => {
      if (statement.startsWith('select')) throw Object.assign(new Error('no file'), { errcode: 14 })
      return [{ statement: created.push(statement) }]
    }),
  )
  await expect(cache.createTables()).rejects.toMatchObject({ code: 'ERR_STORE_UNREACHABLE' })
  expect(created).toEqual([])
})
