/**
 * Opens a database with node:sqlite or, on Node 20, with SQLite compiled to WebAssembly, adapted to the API of
 * better-sqlite3. In JavaScript, since the processes that tests kill also load it.
 * @param {string} file
 * @returns {Promise<import('../../../src/stores/sql/drivers/sqlite.js').SqliteDatabase & { close(): void }>}
 */
export async function openSqlite(file) {
  if (process.getBuiltinModule('node:sqlite')) {
    const { DatabaseSync } = /** @type {any} */ (process.getBuiltinModule('node:sqlite'))
    return unsynchronised(new DatabaseSync(file))
  }
  const { default: wasm } = await import('node-sqlite3-wasm')
  const database = new wasm.Database(file)
  return unsynchronised({
    exec: (sql) => database.exec(sql),
    prepare: (sql) => ({
      all: (...values) => database.all(sql, values),
      run: (...values) => database.run(sql, values),
    }),
    close: () => database.close(),
  })
}

/**
 * Turns off waiting for the disk, which matters only after a power failure.
 * @template {{ exec(sql: string): unknown }} T
 * @param {T} database
 */
function unsynchronised(database) {
  // Many processes open the file at once, before SqlCertCache, which waits for other processes, uses it.
  database.exec('pragma busy_timeout = 5000')
  database.exec('pragma synchronous = off')
  database.exec('pragma busy_timeout = 0')
  return database
}
