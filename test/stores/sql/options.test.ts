import { createPool } from 'mysql2'
import pg from 'pg'
import { expect, test } from 'vitest'
import { SqlCertCache } from '../../../src/stores/sql/index.js'

const pool = new pg.Pool()

test.each([
  'Autocert',
  'a-b',
  'a b',
  'a.b',
  'a"b',
  '`a`',
  "a'; drop table b; --",
  '1a',
  '',
  'ä',
  'a\n',
  'a'.repeat(58),
  7 as unknown as string,
])('the constructor rejects the table name %j', (table) => {
  expect(() => new SqlCertCache(pool, { table })).toThrow(TypeError)
})

test.each(['my_table', null])('the constructor rejects the options %j', (options) => {
  expect(() => new SqlCertCache(pool, options as never)).toThrow(/^SqlCertCache: options must be/)
})

test.each(['a', '_', 'autocert_cache', 'a1', 'a'.repeat(57), 'select'])(
  'the constructor accepts the table name %s',
  (table) => {
    expect(() => new SqlCertCache(pool, { table })).not.toThrow()
  },
)

test.each([0, 1.5, 300_001, '5000', Number.NaN])('the constructor rejects the timeoutMs %j', (timeoutMs) => {
  expect(() => new SqlCertCache(pool, { timeoutMs: timeoutMs as number })).toThrow(/timeoutMs/)
})

test.each([undefined, null, 'postgres://', {}, { prepare() {} }])(
  'the constructor rejects the database %j',
  (database) => {
    expect(() => new SqlCertCache(database as never)).toThrow(
      /pg or mysql2, or .* better-sqlite3 or node:sqlite/,
    )
  },
)

test('the constructor rejects the callback API of mysql2, and names promise()', async () => {
  const callbacks = createPool({})
  expect(() => new SqlCertCache(callbacks as never)).toThrow('promise()')
  expect(() => new SqlCertCache(callbacks.promise())).not.toThrow()
  await callbacks.promise().end()
})

test('operations reject with ERR_STORE_UNREACHABLE if the server does not run', async () => {
  const nobody = { host: '127.0.0.1', port: 1 }
  const code = 'ERR_STORE_UNREACHABLE'
  const postgres = new pg.Pool(nobody)
  await expect(new SqlCertCache(postgres).createTables()).rejects.toMatchObject({
    code,
    message: expect.stringMatching(
      /^cannot create table "autocert_cache": cannot connect to PostgreSQL \(connect ECONNREFUSED 127\.0\.0\.1:1\)\. Check /,
    ),
  })
  await postgres.end()
  const mysql = createPool(nobody).promise()
  await expect(new SqlCertCache(mysql).get('a.example')).rejects.toMatchObject({
    code,
    message: expect.stringMatching(
      /^cannot read "a\.example" from table "autocert_cache": cannot connect to MySQL \(connect ECONNREFUSED 127\.0\.0\.1:1\)\. Check /,
    ),
  })
  await mysql.end()
})
