import { sqlLeaseCases } from './lease-cases.js'
import { sqliteFile } from './sqlite-file.js'

sqlLeaseCases(sqliteFile)
