export type Dialect = 'PostgreSQL' | 'MySQL' | 'SQLite'

/** A value of a placeholder. */
export type SqlValue = string | Buffer
export type Row = Readonly<Record<string, unknown>>

/**
 * Runs single statements, with `?` as the placeholder of a value. Each statement has a connection to itself while it
 * runs. A statement whose `signal` aborts before it has a connection is never sent: sent late, it could overwrite a
 * newer value.
 */
export interface Connection {
  readonly dialect: Dialect
  /** Runs a `select` and returns its rows. */
  rows(statement: string, values: readonly SqlValue[], signal: AbortSignal): Promise<readonly Row[]>
  /** Runs any other statement and returns the number of rows that it changed. */
  change(statement: string, values: readonly SqlValue[], signal: AbortSignal): Promise<number>
}
