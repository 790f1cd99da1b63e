import { randomUUID } from 'node:crypto'
import { expect, type TestContext } from 'vitest'
import { SqlCertCache } from '../../../src/stores/sql/index.js'
import { connectTo, type Target } from './connect.js'

/** An empty database, and how to break the connections to it. */
export interface SqlPlace {
  /** The address for the store under test; `cut` and `drop` break it. */
  readonly target: Target
  /** An address that the test never breaks. */
  readonly direct: Target
  /** Stops forwarding data, as a pulled cable does. */
  cut?(): void
  /** Ends `cut` and closes the connections that it cut. */
  mend?(): void
  /** Closes the connections; new ones are forwarded. */
  drop?(): void
  close(): Promise<void>
}

export interface SqlBackend {
  readonly name: string
  /** Whether the connections to its places can be cut. */
  readonly isServer: boolean
  open(): Promise<SqlPlace>
}

const quotes = { sqlite: '"', postgres: '"', mariadb: '`' }
/** Ends operations that hang, yet is long enough for healthy ones on a busy machine. */
const generousMs = 60_000

/** Opens a place with a unique table name and two connections: one that can be broken, one that cannot. */
export async function openPlace(backend: SqlBackend) {
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
    // A pool cannot end while its connection is cut.
    place.mend?.()
    for (const closer of closers.splice(0)) await closer()
  }
  const cacheOn = (database: ConstructorParameters<typeof SqlCertCache>[0], timeoutMs = generousMs) =>
    new SqlCertCache(database, { table, timeoutMs })
  const key = `${quotes[place.target.kind]}key${quotes[place.target.kind]}`
  return { place, table, own, other, connection, cacheOn, close, key }
}

/** Opens a place with tables and two stores, which closes with the test. */
export async function openStores(backend: SqlBackend, { onTestFinished }: TestContext) {
  const opened = await openPlace(backend)
  onTestFinished(opened.close)
  const cache = opened.cacheOn(opened.own.database)
  await cache.createTables()
  return { ...opened, cache, peer: opened.cacheOn(opened.other.database) }
}

export const heldLock = async (cache: SqlCertCache) =>
  (await cache.tryLock('a.example')) ?? expect.unreachable('nobody else holds the lock')
