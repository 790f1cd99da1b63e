import { maxValueBytes } from '../../cache/cert-cache.js'
import { leaseMs } from '../../cache/leases/lease.js'
import type { Dialect } from './drivers/connection.js'

/** All SQL statements of the store, with `?` as the placeholder of a value. */
export type Statements = Readonly<
  Record<'get' | 'put' | 'delete' | 'list' | 'endExpired' | 'lock' | 'renew' | 'unlock', string> & {
    /** For each table: a query that fails if the table does not exist, and the statement that creates it. */
    tables: readonly { readonly probe: string; readonly create: string }[]
  }
>

/** The maximum length of a key: that of sqlcertcache's column, which fits into an index of every database. */
export const maxKeyLength = 400
/** Rows per request of a listing. */
export const pageSize = 100

/** How the dialects differ. */
interface Flavour {
  /** The quotation mark of identifiers. */
  quote: string
  /** The column types of keys, values and times. */
  key: string
  bytes: string
  time: string
  /** The time of the database's clock when the statement runs. */
  now: string
  leaseEnd: string
  /** Converts a time to milliseconds since the epoch. */
  epochMs(time: string): string
  /** Replaces the data of a row that exists. Further assignments can follow. */
  updateExisting(key: string): string
  insertIfAbsent(into: string, values: string): string
}

const leaseSeconds = leaseMs / 1_000

/** The upsert of PostgreSQL and SQLite. */
const onConflict: Pick<Flavour, 'updateExisting' | 'insertIfAbsent'> = {
  updateExisting: (key) => `on conflict (${key}) do update set data = excluded.data`,
  insertIfAbsent: (into, values) => `insert into ${into} ${values} on conflict do nothing`,
}

const flavours: Record<Dialect, Flavour> = {
  PostgreSQL: {
    ...onConflict,
    quote: '"',
    key: 'varchar(400)',
    bytes: 'bytea',
    time: 'timestamptz',
    // now() would be the start of the transaction.
    now: 'clock_timestamp()',
    leaseEnd: `clock_timestamp() + interval '${leaseSeconds} seconds'`,
    epochMs: (time) => `extract(epoch from ${time}) * 1000`,
  },
  MySQL: {
    quote: '`',
    // A varchar would be compared without regard to case, accents and trailing spaces.
    key: 'varbinary(400)',
    bytes: 'mediumblob',
    // A timestamp column may be updated automatically.
    time: 'datetime(6)',
    now: 'utc_timestamp(6)',
    leaseEnd: `utc_timestamp(6) + interval ${leaseSeconds} second`,
    epochMs: (time) => `timestampdiff(microsecond, '1970-01-01', ${time}) / 1000`,
    // MariaDB does not support MySQL's newer syntax, an alias for the new row.
    updateExisting: () => 'on duplicate key update data = values(data)',
    insertIfAbsent: (into, values) => `insert ignore into ${into} ${values}`,
  },
  SQLite: {
    ...onConflict,
    quote: '"',
    key: 'varchar(400)',
    bytes: 'blob',
    time: 'text',
    now: "strftime('%Y-%m-%d %H:%M:%f', 'now')",
    leaseEnd: `strftime('%Y-%m-%d %H:%M:%f', 'now', '+${leaseSeconds} seconds')`,
    epochMs: (time) => `(julianday(${time}) - 2440587.5) * 86400000`,
  },
}

/**
 * Returns the statements for a table.
 * @param table a validated name: it becomes part of the statements
 */
export function createStatements(dialect: Dialect, table: string): Statements {
  const flavour = flavours[dialect]
  const { now, leaseEnd } = flavour
  const quoted = (name: string) => flavour.quote + name + flavour.quote
  const values = quoted(table)
  const locks = quoted(`${table}_locks`)
  const key = quoted('key')
  return {
    // A value that is too large is not transferred.
    get: `select case when length(data) <= ${maxValueBytes} then data end as data from ${values} where ${key} = ?`,
    put: `insert into ${values} (${key}, data, created_at) values (?, ?, ${now}) ${flavour.updateExisting(key)}, updated_at = ${now}`,
    delete: `delete from ${values} where ${key} = ?`,
    list:
      `select ${key} as name, length(data) as size, ${flavour.epochMs('coalesce(updated_at, created_at)')} as modified ` +
      `from ${values} where ${key} > ? order by ${key} limit ${pageSize}`,
    endExpired: `delete from ${locks} where name = ? and expires_at <= ${now}`,
    lock: flavour.insertIfAbsent(`${locks} (name, owner, expires_at)`, `values (?, ?, ${leaseEnd})`),
    renew: `update ${locks} set expires_at = ${leaseEnd} where name = ? and owner = ?`,
    unlock: `delete from ${locks} where name = ? and owner = ?`,
    // On PostgreSQL, exactly the table of Go's sqlcertcache: https://github.com/goenning/sqlcertcache
    tables: [
      {
        probe: `select 1 from ${values} where 1 = 0`,
        create:
          `create table if not exists ${values} (${key} ${flavour.key} not null primary key, ` +
          `data ${flavour.bytes} not null, created_at ${flavour.time} not null, updated_at ${flavour.time} null)`,
      },
      {
        probe: `select 1 from ${locks} where 1 = 0`,
        create:
          `create table if not exists ${locks} (name ${flavour.key} not null primary key, ` +
          `owner varchar(36) not null, expires_at ${flavour.time} not null)`,
      },
    ],
  }
}
