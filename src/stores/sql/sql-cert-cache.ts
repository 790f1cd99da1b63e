import { randomUUID } from 'node:crypto'
import {
  assertCacheKey,
  type CacheOperationOptions,
  type CertCacheEntry,
  type CertCacheLock,
  type ListableCertCache,
  type LockingCertCache,
} from '../../cache/cert-cache.js'
import { holdLease } from '../../cache/leases/lease.js'
import { failureMessage, tooLargeError, tooLongError } from '../../cache/service-errors.js'
import { createRunner, type RunOperation } from '../../cache/store-operation.js'
import { StoreError } from '../../util/errors.js'
import { milliseconds, plainObject } from '../../util/validate.js'
import { type SqlDatabase, toConnection } from './database.js'
import type { Connection, Row, SqlValue } from './drivers/connection.js'
import { isAlreadyCreated, isConflict, nameOf, timeoutMessage, toStoreError } from './drivers/errors.js'
import { createStatements, maxKeyLength, pageSize, type Statements } from './statements.js'

/** Options of `SqlCertCache`. */
export interface SqlCertCacheOptions {
  /**
   * The table of the values. The table of the locks has the same name with `_locks` appended. At most 57 lower-case
   * letters, digits and `_`; must not begin with a digit. Default: `autocert_cache`.
   */
  table?: string
  /** Time-out of one operation in ms, including the wait for a connection of the pool: 1 to 300,000. Default: 5,000. */
  timeoutMs?: number
}

/**
 * A {@link CertCache} in a table of PostgreSQL, MySQL, MariaDB or SQLite. Uses your pool or connection, and never
 * closes it. Prefer a pool, because it replaces broken connections.
 *
 * If you pass a connection, use it for nothing else. A driver queues statements behind those of other users of the
 * connection, and sends a queued statement even after its caller has timed out. It could overwrite a newer value.
 *
 * All statements must reach the same server. Behind a proxy that sends reads to replicas, or on several nodes of a
 * Galera cluster, a read under the lock may miss another machine's write.
 *
 * - PostgreSQL: the table is the one of Go's `sqlcertcache`.
 * - SQLite: needs version 3.24 or later, for its upsert. Open `better-sqlite3` with `{ timeout: 0 }`: its own wait for
 *   another writer, 5 s by default, blocks the process. This store retries without blocking.
 *
 * Rejects with a {@link StoreError} whose `code` distinguishes invalid credentials, a missing permission, a missing
 * table, an unreachable server and a time-out.
 */
export class SqlCertCache implements LockingCertCache, ListableCertCache {
  readonly #connection: Connection
  readonly #table: string
  readonly #statements: Statements
  readonly #run: RunOperation

  /**
   * @param database a pool or connection of `pg` or `mysql2/promise`, or a database of `better-sqlite3` or
   *   `node:sqlite`. A connection must not be inside a transaction.
   * @throws {TypeError} naming the invalid option
   */
  constructor(database: SqlDatabase, options: SqlCertCacheOptions = {}) {
    this.#connection = toConnection(database)
    const { table, timeoutMs } = plainObject<SqlCertCacheOptions>('SqlCertCache: options', options, {
      table: true,
      timeoutMs: true,
    })
    this.#table = checkTable(table ?? 'autocert_cache')
    this.#statements = createStatements(this.#connection.dialect, this.#table)
    const ms = milliseconds('SqlCertCache: timeoutMs', timeoutMs ?? 5_000, 300_000)
    this.#run = createRunner({
      timeoutMs: ms,
      delayAfter: (thrown) => (isConflict(thrown) ? 5 + Math.random() * 20 : undefined),
      timeoutMessage: (description) => timeoutMessage(ms, description, this.#table),
      toStoreError: (thrown, description) => this.#toStoreError(thrown, description),
    })
  }

  /**
   * Creates the two tables if they do not exist, and leaves existing tables unchanged. Call it at each start to detect
   * invalid credentials and an unreachable server early. Needs the privilege to create tables only if one is missing.
   * @throws {StoreError} whose message says what to do
   */
  async createTables(options?: CacheOperationOptions): Promise<void> {
    for (const { probe, create } of this.#statements.tables) {
      await this.#run('create', options?.signal, async (signal) => {
        try {
          await this.#connection.rows(probe, [], signal)
        } catch (error) {
          if (this.#toStoreError(error, 'find').code !== 'ERR_STORE_CONTAINER') throw error
          await this.#connection.change(create, [], signal).catch((thrown) => {
            if (!isAlreadyCreated(thrown)) throw thrown
          })
        }
      })
    }
  }

  async get(key: string, options?: CacheOperationOptions): Promise<Uint8Array | undefined> {
    this.#assertKey(key)
    const [row] = await this.#rows(`read "${key}"`, this.#statements.get, key, options?.signal)
    if (!row) return undefined
    if (row.data === null) throw tooLargeError(key, nameOf(this.#table))
    if (!(row.data instanceof Uint8Array)) {
      const reason = 'the driver did not return the value as bytes'
      const advice =
        'Give the column "data" a binary type, and let the settings of the pool (typeCast of mysql2, types of pg) return binary columns unchanged.'
      const message = failureMessage(`read "${key}"`, nameOf(this.#table), reason, advice)
      throw new StoreError('ERR_STORE_FAILED', message)
    }
    // A copy: the driver's array may be a view of the whole network buffer.
    return new Uint8Array(row.data)
  }

  async put(key: string, data: Uint8Array, options?: CacheOperationOptions): Promise<void> {
    this.#assertKey(key)
    // A copy: the value is sent later, when a connection is free.
    await this.#change(`write "${key}"`, this.#statements.put, [key, Buffer.from(data)], options?.signal)
  }

  async delete(key: string, options?: CacheOperationOptions): Promise<void> {
    this.#assertKey(key)
    await this.#change(`delete "${key}"`, this.#statements.delete, [key], options?.signal)
  }

  /**
   * Lists the keys in alphabetical order. Locks are in a separate table, and not listed. Go's `sqlcertcache` does
   * not update the time of a value that it replaces.
   */
  async *list(options?: CacheOperationOptions): AsyncGenerator<CertCacheEntry> {
    let lastKey = ''
    let rows: readonly Row[]
    do {
      rows = await this.#rows('list', this.#statements.list, lastKey, options?.signal)
      for (const { name, size, modified } of rows) {
        lastKey = String(name)
        yield { name: lastKey, size: Number(size), modified: new Date(Number(modified)) }
      }
    } while (rows.length >= pageSize)
  }

  /**
   * Acquires the lock: a row that expires after 30 s by the database's clock, and is renewed every 10 s. The row does
   * not depend on a connection, so the lock works behind a connection pooler and survives a dropped connection.
   */
  async tryLock(name: string, options?: CacheOperationOptions): Promise<CertCacheLock | undefined> {
    this.#assertKey(name)
    const owner = randomUUID()
    const { endExpired, lock, renew, unlock } = this.#statements
    return holdLease(name, {
      acquire: async () => {
        // Two operations: each has its own time-out.
        await this.#change(`lock "${name}"`, endExpired, [name], options?.signal)
        return (await this.#change(`lock "${name}"`, lock, [name, owner], options?.signal)) > 0
      },
      // The caller's signal ends the acquisition only: it must not end later renewals or the release.
      renew: async () => (await this.#change(`renew the lock "${name}"`, renew, [name, owner])) > 0,
      remove: () => this.#change(`release the lock "${name}"`, unlock, [name, owner]),
    })
  }

  #assertKey(key: string): void {
    assertCacheKey(key)
    if (key.length > maxKeyLength)
      throw tooLongError(key, nameOf(this.#table), `it is longer than ${maxKeyLength} characters`)
  }

  #rows(description: string, statement: string, key: string, signal?: AbortSignal): Promise<readonly Row[]> {
    return this.#run(description, signal, (deadlineSignal) =>
      this.#connection.rows(statement, [key], deadlineSignal),
    )
  }

  #change(description: string, statement: string, values: SqlValue[], signal?: AbortSignal): Promise<number> {
    return this.#run(description, signal, (deadlineSignal) =>
      this.#connection.change(statement, values, deadlineSignal),
    )
  }

  #toStoreError(thrown: unknown, description: string): StoreError {
    return toStoreError(thrown, description, this.#connection.dialect, this.#table)
  }
}

/**
 * Checks a table name. Upper case is not allowed: Go's sqlcertcache does not quote the name, so PostgreSQL folds it to
 * lower case.
 */
function checkTable(table: unknown): string {
  if (typeof table === 'string' && /^[a-z_][a-z0-9_]{0,56}$/.test(table)) return table
  throw new TypeError(
    'SqlCertCache: table must be 1 to 57 lower-case letters, digits and underscores, and must not begin with a digit',
  )
}
