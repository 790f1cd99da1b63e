import { inject } from 'vitest'
import { serverCases, sqlCases } from './cases.js'
import { openRelay } from './relay.js'

const { postgres: path, user } = inject('databases')

const backend = {
  name: 'PostgreSQL',
  async open() {
    const relay = await openRelay({ path })
    const direct = await openRelay({ path })
    const target = { kind: 'postgres' as const, user, database: 'postgres' }
    return {
      ...relay,
      target: { ...target, port: relay.port },
      direct: { ...target, port: direct.port },
      async close() {
        await relay.close()
        await direct.close()
      },
    }
  },
}
sqlCases(backend)
serverCases(backend)
