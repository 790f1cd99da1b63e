export type Dialect = 'PostgreSQL' | 'MySQL' | 'SQLite'

export type SqlValue = string | Buffer
export type Row = Readonly<Record<string, unknown>>

/**
 * One statement, with `?` for its values. It has a connection for itself: one whose `signal` aborted before it had that
 * is never sent, since it could overwrite what was written after it was given up.
 */
export interface Connection {
  /** The rows of a `select`. */
  rows(statement: string, values: readonly SqlValue[], signal: AbortSignal): Promise<readonly Row[]>
  /** The number of rows that anything else changed. */
  change(statement: string, values: readonly SqlValue[], signal: AbortSignal): Promise<number>
}
