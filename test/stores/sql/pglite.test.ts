import { PGlite } from '@electric-sql/pglite'
import { PGLiteSocketServer } from '@electric-sql/pglite-socket'
import { afterAll, beforeAll } from 'vitest'
import { serverCases, sqlCases } from './cases.js'
import { postgresCases } from './postgres-cases.js'
import { openRelay } from './relay.js'

// PostgreSQL compiled to WebAssembly. It has one session, behind which connections queue: what many sessions do to
// each other is tried on the real one, by test:databases.
let port: number
let closeServer: () => Promise<void>

beforeAll(async () => {
  const db = await PGlite.create()
  const server = new PGLiteSocketServer({ db, port: 0, maxConnections: 200 })
  await server.start()
  port = Number(server.getServerConn().split(':').at(-1))
  closeServer = async () => {
    await server.stop()
    await db.close()
  }
})
afterAll(() => closeServer())

const backend = {
  name: 'PGlite',
  async open() {
    const relay = await openRelay({ port, host: '127.0.0.1' })
    const target = { kind: 'postgres' as const, user: 'postgres', database: 'postgres', port }
    return { ...relay, target: { ...target, port: relay.port }, direct: target }
  },
}
sqlCases(backend)
serverCases(backend)
postgresCases('PGlite', () => ({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres' }))
