import { randomUUID } from 'node:crypto'
import pg from 'pg'
import { expect, test } from 'vitest'
import { SqlCertCache } from '../../../src/stores/sql/index.js'

type Address = () => { host: string; port?: number; user: string; database: string }

/** Registers the cases for PostgreSQL alone. */
export function postgresCases(name: string, address: Address) {
  test(`on ${name}, SqlCertCache adopts a table of Go’s sqlcertcache, which Go can continue to use`, async () => {
    const pool = new pg.Pool(address())
    const table = `go_${randomUUID().replaceAll('-', '_')}`
    try {
      // The table and statements of https://github.com/goenning/sqlcertcache
      await pool.query(`create table if not exists ${table} (key varchar(400) not null primary key,
        data bytea not null, created_at timestamptz not null, updated_at timestamptz null)`)
      const goPut = (key: string, data: string) =>
        pool.query(
          `insert into ${table} (key, data, created_at) values ($1, $2::bytea, now())
           on conflict (key) do update set data = $2::bytea`,
          [key, Buffer.from(data)],
        )
      await goPut('a.example', 'from Go')
      const cache = new SqlCertCache(pool, { table })
      await cache.createTables()
      const read = async () => Buffer.from((await cache.get('a.example')) ?? []).toString()
      expect(await read()).toBe('from Go')
      await cache.put('a.example', Buffer.from('from Node'))
      const { rows } = await pool.query(`select data::bytea from ${table} where key = $1`, ['a.example'])
      expect(rows[0].data.toString()).toBe('from Node')
      await goPut('a.example', 'from Go again')
      expect(await read()).toBe('from Go again')
      const lock = await cache.tryLock('a.example')
      expect(lock).toBeDefined()
      await lock?.release()
      await pool.query(`delete from ${table} where key = $1`, ['a.example'])
      expect(await cache.get('a.example')).toBeUndefined()
    } finally {
      await pool.query(`drop table if exists ${table}, ${table}_locks`)
      await pool.end()
    }
  })
}
