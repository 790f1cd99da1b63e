import { fleetCases } from './cases.js'
import { dirPlace, sqlitePlace } from './places.js'

fleetCases('a folder', dirPlace)
fleetCases('SQLite', sqlitePlace)
