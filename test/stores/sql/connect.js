import mysql from 'mysql2/promise'
import pg from 'pg'
import { openSqlite } from './sqlite.js'

/**
 * @typedef {{ kind: 'sqlite', file: string }
 *   | { kind: 'postgres', port: number, user: string, database: string }
 *   | { kind: 'mariadb', port: number, user: string, database: string }} Target
 */

/**
 * Connects as a user does: by a pool of `pg` or `mysql2`, or an SQLite database. Tests inspect tables with `query`.
 * @param {Target} target
 * @returns {Promise<{ database: import('../../../src/stores/sql/index.js').SqlDatabase,
 *   query: (statement: string, values?: unknown[]) => Promise<any[]>, close: () => Promise<void> }>}
 */
export async function connectTo(target) {
  if (target.kind === 'sqlite') {
    const database = await openSqlite(target.file)
    let closed = false
    return {
      database,
      async query(statement, values = []) {
        if (/^select/.test(statement)) return database.prepare(statement).all(...values)
        database.prepare(statement).run(...values)
        return []
      },
      async close() {
        if (!closed) database.close()
        closed = true
      },
    }
  }
  const { kind, ...where } = target
  const address = { host: '127.0.0.1', ...where }
  if (kind === 'postgres') {
    const pool = new pg.Pool({ ...address, max: 5 })
    pool.on('error', () => {})
    return {
      database: pool,
      query: async (statement, values = []) => (await pool.query(statement, values)).rows,
      close: () => pool.end(),
    }
  }
  const pool = mysql.createPool({ ...address, connectionLimit: 5 })
  return {
    database: pool,
    query: async (statement, values = []) => /** @type {any[]} */ ((await pool.query(statement, values))[0]),
    close: () => pool.end(),
  }
}
