import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { SqlBackend } from './place.js'

/** A new database file for each place. */
export const sqliteFile: SqlBackend = {
  name: process.getBuiltinModule('node:sqlite') ? 'SQLite (node:sqlite)' : 'SQLite (WebAssembly)',
  isServer: false,
  async open() {
    const folder = mkdtempSync(join(tmpdir(), 'acme-cert-cache-sqlite-'))
    const target = { kind: 'sqlite' as const, file: join(folder, 'certificates.db') }
    return { target, direct: target, close: async () => rmSync(folder, { recursive: true }) }
  },
}
