import { randomUUID } from 'node:crypto'
import {
  assertCacheKey,
  type CacheOperationOptions,
  type CertCacheEntry,
  type CertCacheLock,
  type ListableCertCache,
  type LockingCertCache,
} from '../../cache/cert-cache.js'
import { holdLease } from '../../cache/lease.js'
import { systemClock } from '../../util/clock.js'
import { sleep, withDeadline } from '../../util/deadline.js'
import { StoreError } from '../../util/errors.js'
import { milliseconds, plainObject } from '../../util/validate.js'
import { type Database, databaseOf, type SqlDatabase } from './database.js'
import type { Connection, SqlValue } from './drivers/connection.js'
import { isConflict, isThereByNow, sqlErrorFrom, sqlTimeout } from './drivers/errors.js'
import { longestKey, pageSize, type Statements, statementsFor } from './statements.js'

export interface SqlCertCacheOptions {
  /**
   * The table with the values; that of the locks has `_locks` added to its name. At most 57 lower-case letters,
   * digits and `_`, the first no digit. Default: `autocert_cache`.
   */
  table?: string
  /** Bound of one operation, waiting for a connection of the pool included, in ms: 1 to 300,000, default 5,000. */
  timeoutMs?: number
}

/**
 * A {@link CertCache} in a table of PostgreSQL, MySQL, MariaDB or SQLite, in whatever pool or connection you have. Give
 * it a pool, which outlives its connections. A connection should serve nothing else: what a driver has queued behind
 * another's statement is sent even when it has been given up, and may overwrite a newer value. It is never closed here.
 *
 * All statements have to reach one server: behind a proxy that sends reads to replicas, or on several nodes of Galera,
 * what another has written under the lock may not be seen yet.
 *
 * On PostgreSQL the table is that of Go's `sqlcertcache`. Needs SQLite 3.24, for its upsert, or later. Open
 * `better-sqlite3` with `{ timeout: 0 }`: where another process writes, it waits in the only thread, for 5 s by default;
 * this store tries again itself.
 *
 * Rejects with a {@link StoreError} whose `code` tells wrong credentials, a missing permission, a missing table, an
 * unreachable server and a time-out apart.
 */
export class SqlCertCache implements LockingCertCache, ListableCertCache {
  // Not TypeScript's private fields: the pool has the password, and shows it when it is inspected.
  readonly #database: Database
  readonly #table: string
  readonly #statements: Statements
  readonly #timeoutMs: number

  /**
   * @param database a pool or connection of `pg` or `mysql2/promise`, or a database of `better-sqlite3` or
   *   `node:sqlite`, none of them inside a transaction
   * @throws {TypeError} naming the option that is wrong
   */
  constructor(database: SqlDatabase, options: SqlCertCacheOptions = {}) {
    this.#database = databaseOf(database)
    const { table, timeoutMs } = plainObject('SqlCertCache: options', options)
    this.#table = checkTable(table ?? 'autocert_cache')
    this.#statements = statementsFor(this.#database.dialect, this.#table)
    this.#timeoutMs = milliseconds('SqlCertCache: timeoutMs', timeoutMs ?? 5_000, 300_000)
  }

  /**
   * Makes the two tables where they are missing, and touches none that is there. Called at each start it also shows
   * wrong credentials and an unreachable server early; needs the right to create tables only if they are missing.
   * @throws {StoreError} telling what to do
   */
  async createTables(options?: CacheOperationOptions): Promise<void> {
    for (const { isThere, create } of this.#statements.tables) {
      await this.#run('create the tables', options?.signal, async (connection, signal) => {
        try {
          await connection.rows(isThere, [], signal)
        } catch (error) {
          if (this.#storeError(error, 'find the tables').code !== 'ERR_STORE_CONTAINER') throw error
          await connection.change(create, [], signal).catch((thrown) => {
            if (!isThereByNow(thrown)) throw thrown
          })
        }
      })
    }
  }

  async get(key: string, options?: CacheOperationOptions): Promise<Uint8Array | undefined> {
    this.#check(key)
    const [row] = await this.#run(`read ${key}`, options?.signal, (connection, signal) =>
      connection.rows(this.#statements.get, [key], signal),
    )
    if (!row) return undefined
    if (row.data === null) {
      const table = this.#table
      throw new StoreError('ERR_STORE_ENTRY', `${key} in table ${table} is larger than any certificate`)
    }
    if (!(row.data instanceof Uint8Array)) throw this.#changedByDriver(key)
    // A copy: the driver's may be a piece of all that arrived.
    return new Uint8Array(row.data)
  }

  async put(key: string, data: Uint8Array, options?: CacheOperationOptions): Promise<void> {
    this.#check(key)
    // A copy: it may be sent only when there is a connection.
    await this.#change(`write ${key}`, this.#statements.put, [key, Buffer.from(data)], options?.signal)
  }

  async delete(key: string, options?: CacheOperationOptions): Promise<void> {
    this.#check(key)
    await this.#change(`delete ${key}`, this.#statements.delete, [key], options?.signal)
  }

  /**
   * Without the locks, which have a table of their own. What Go's `sqlcertcache` replaced keeps its former time, which
   * it does not write.
   */
  async *list(options?: CacheOperationOptions): AsyncGenerator<CertCacheEntry> {
    for (let after = ''; ; ) {
      const from = after
      const rows = await this.#run('list the keys', options?.signal, (connection, signal) =>
        connection.rows(this.#statements.list, [from], signal),
      )
      for (const { name, size, modified } of rows) {
        after = String(name)
        yield { name: after, size: Number(size), modified: new Date(Number(modified)) }
      }
      if (rows.length < pageSize) return
    }
  }

  /**
   * A row that expires by the database's clock after 30 s and is renewed every 10 s: it belongs to no connection, so
   * neither a pooler nor a dropped connection loses it.
   */
  async tryLock(name: string, options?: CacheOperationOptions): Promise<CertCacheLock | undefined> {
    this.#check(name)
    const owner = randomUUID()
    const { endExpired, lock, renew, unlock } = this.#statements
    return holdLease(name, {
      acquire: async () => {
        const inserted = await this.#run(`lock ${name}`, options?.signal, async (connection, signal) => {
          await connection.change(endExpired, [name], signal)
          signal.throwIfAborted()
          return connection.change(lock, [name, owner], signal)
        })
        return inserted > 0
      },
      // The caller's signal is for taking the lock; renewing and giving it back go on.
      renew: async () => (await this.#change(`renew the lock of ${name}`, renew, [name, owner])) > 0,
      remove: () => this.#change(`unlock ${name}`, unlock, [name, owner]),
    })
  }

  #changedByDriver(key: string): StoreError {
    return new StoreError(
      'ERR_STORE_FAILED',
      `the value of ${key} in table ${this.#table} did not arrive as bytes: the column data must have a type of bytes, and the pool’s settings (typeCast of mysql2, types of pg) must leave those alone.`,
    )
  }

  #check(key: string): void {
    assertCacheKey(key)
    if (key.length > longestKey) {
      throw new StoreError('ERR_STORE_ENTRY', `the key ${key} is longer than ${longestKey} characters`)
    }
  }

  #change(what: string, statement: string, values: SqlValue[], signal?: AbortSignal): Promise<number> {
    return this.#run(what, signal, (connection, bound) => connection.change(statement, values, bound))
  }

  /** Under the time-out, once more where others were in the way, with the drivers' errors turned into ours. */
  async #run<T>(
    what: string,
    signal: AbortSignal | undefined,
    operation: (connection: Connection, signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    signal?.throwIfAborted()
    const untilDone = async (bound: AbortSignal): Promise<T> => {
      for (;;) {
        try {
          return await operation(this.#database, bound)
        } catch (error) {
          if (!isConflict(error)) throw error
          await sleep(5 + Math.random() * 20, systemClock, bound)
        }
      }
    }
    try {
      return await withDeadline(untilDone, {
        ms: this.#timeoutMs,
        clock: systemClock,
        error: () => sqlTimeout(this.#timeoutMs, what, this.#database.dialect, this.#table),
        signal,
      })
    } catch (thrown) {
      if (signal?.aborted || thrown instanceof StoreError) throw thrown
      throw this.#storeError(thrown, what)
    }
  }

  #storeError(thrown: unknown, what: string): StoreError {
    return sqlErrorFrom(thrown, what, this.#database.dialect, this.#table)
  }
}

/** Lower case only: Go's sqlcertcache does not quote it, and PostgreSQL would fold it. */
function checkTable(table: unknown): string {
  if (typeof table === 'string' && /^[a-z_][a-z0-9_]{0,56}$/.test(table)) return table
  throw new TypeError(
    'SqlCertCache: table must be at most 57 lower-case letters, digits and _, and not begin with a digit',
  )
}
