import { expect, onTestFinished, test } from 'vitest'
import { SqlCertCache } from '../../../src/stores/sql/index.js'
import { sqlCases } from './cases.js'
import { openSqlite } from './sqlite.js'
import { sqliteFile } from './sqlite-file.js'

sqlCases(sqliteFile)

test('a read-only database fails tryLock and put with ERR_STORE_FAILED, not as a missing permission', async () => {
  const database = await openSqlite(':memory:')
  onTestFinished(() => database.close())
  const cache = new SqlCertCache(database)
  await cache.createTables()
  database.exec('pragma query_only = on')
  const readOnly = { code: 'ERR_STORE_FAILED', message: expect.stringContaining('read-only') }
  await expect(cache.tryLock('a.example')).rejects.toMatchObject(readOnly)
  await expect(cache.put('a.example', Buffer.from('value'))).rejects.toMatchObject(readOnly)
})

test('get rejects a value larger than 16 MiB, which never leaves the database', async () => {
  const database = await openSqlite(':memory:')
  onTestFinished(() => database.close())
  const cache = new SqlCertCache(database)
  await cache.createTables()
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
  const database = await openSqlite(':memory:')
  onTestFinished(() => database.close())
  const cache = new SqlCertCache(database)
  await cache.createTables()
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
