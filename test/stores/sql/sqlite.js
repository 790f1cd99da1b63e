/**
 * SQLite as the running Node has it, by node:sqlite, or else (on Node 20) compiled to WebAssembly, in the manner of
 * better-sqlite3. JavaScript, since the processes that tests kill load it, too.
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
 * Without waiting for the disk, which matters to what a power failure leaves only.
 * @template {{ exec(sql: string): unknown }} T
 * @param {T} database
 */
function unsynchronised(database) {
  // Many processes open it at once, and this is done before SqlCertCache sees it, which waits for others itself.
  database.exec('pragma busy_timeout = 5000')
  database.exec('pragma synchronous = off')
  database.exec('pragma busy_timeout = 0')
  return database
}
