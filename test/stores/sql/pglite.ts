import { PGlite } from '@electric-sql/pglite'
import { PGLiteSocketServer } from '@electric-sql/pglite-socket'
import { afterAll, beforeAll } from 'vitest'
import { openRelay } from './relay.js'

/**
 * Starts PostgreSQL compiled to WebAssembly for all tests of a file. Connections queue for its one session;
 * test:databases tests many sessions on a real server.
 */
export function usePGlite() {
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
    // On a busy machine its start takes minutes.
  }, 600_000)
  afterAll(() => closeServer())

  const address = () => ({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres' })
  const backend = {
    name: 'PGlite',
    isServer: true,
    async open() {
      const relay = await openRelay({ port, host: '127.0.0.1' })
      const target = { kind: 'postgres' as const, user: 'postgres', database: 'postgres', port }
      return { ...relay, target: { ...target, port: relay.port }, direct: target }
    },
  }
  return { backend, address }
}
