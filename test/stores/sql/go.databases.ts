// Shares a table between SqlCertCache and a Go program that works as sqlcertcache does. Needs Go.
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { dirname } from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { SqlCertCache } from '../../../src/stores/sql/index.js'
import { buildGoProgram } from '../../interop/build.js'

const { postgres, user } = inject('databases')
const address = { host: dirname(postgres), user, database: 'postgres' }
const dsn = `host=${address.host} user=${user} dbname=postgres sslmode=disable`
const pool = new pg.Pool(address)

let program: string
beforeAll(async () => {
  program = await buildGoProgram('sqlcertcache')
})
afterAll(() => pool.end())

const everyByte = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))
const values = new Map([
  ['example.com', Buffer.from('-----BEGIN EC PRIVATE KEY-----\n')],
  ['example.com+rsa', everyByte],
  ['acme_account+key', Buffer.alloc(0)],
  ['t0k_en-+http-01', Buffer.from('\\x00 \'"%s$1')],
  ["it's", randomBytes(70_000)],
  ['A.example', Buffer.from('A')],
  ['a.example', Buffer.from('a')],
])

test.each(['Go', 'Node'])(
  '%s creates the table, and Go and Node read each other’s writes and deletes',
  async (first) => {
    const table = `shared_with_go_${first.toLowerCase()}`
    const go = (args: string[], input = '') =>
      execFileSync(program, [dsn, table, ...args], { input, encoding: 'utf8', maxBuffer: 1 << 24 })
    const cache = new SqlCertCache(pool, { table })
    const node = async (key: string) => {
      const value = await cache.get(key)
      return value ? Buffer.from(value).toString('hex') : '(miss)'
    }
    const writers = [
      (key: string, value: Buffer) => void go(['put', key], value.toString('hex')),
      (key: string, value: Buffer) => cache.put(key, value),
    ]
    const makers = [() => void go(['create']), () => cache.createTables()]
    for (const make of first === 'Go' ? makers : makers.reverse()) await make()

    const assertBoth = async (key: string, value: string) => {
      expect(go(['get', key])).toBe(value)
      expect(await node(key)).toBe(value)
    }
    for (const [key, value] of values) {
      await assertBoth(key, '(miss)')
      for (const write of first === 'Go' ? writers : writers.toReversed()) {
        await write(key, value)
        await assertBoth(key, value.toString('hex'))
        await write(key, Buffer.concat([value, everyByte]))
        await assertBoth(key, Buffer.concat([value, everyByte]).toString('hex'))
      }
    }
    const lock = await cache.tryLock('example.com')
    expect(lock).toBeDefined()
    go(['delete', 'example.com'])
    await assertBoth('example.com', '(miss)')
    await cache.delete('example.com+rsa')
    await assertBoth('example.com+rsa', '(miss)')
    // Deleting an absent key succeeds.
    go(['delete', 'example.com+rsa'])
    await cache.delete('example.com')
    await lock?.release()
    const names: string[] = []
    for await (const { name } of cache.list()) names.push(name)
    expect(names.sort()).toEqual([...values.keys()].filter((key) => !/^example\.com/.test(key)).sort())
  },
)
