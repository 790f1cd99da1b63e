import { sqlLeaseCases } from './lease-cases.js'
import { usePGlite } from './pglite.js'

sqlLeaseCases(usePGlite().backend)
