import { sqlCases } from './cases.js'
import { sqlLeaseCases } from './lease-cases.js'
import { usePGlite } from './pglite.js'
import { postgresCases } from './postgres-cases.js'
import { serverCases } from './server-cases.js'

const { backend, address } = usePGlite()
sqlCases(backend)
serverCases(backend)
postgresCases('PGlite', address)
sqlLeaseCases(backend)
