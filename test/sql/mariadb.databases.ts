import { inject } from 'vitest'
import { serverCases, sqlCases } from './cases.js'
import { openRelay } from './relay.js'

const { mariadb: path } = inject('databases')

const backend = {
  name: 'MariaDB',
  async open() {
    const relay = await openRelay({ path })
    const direct = await openRelay({ path })
    const target = { kind: 'mariadb' as const, user: 'root', database: 'certificates' }
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
