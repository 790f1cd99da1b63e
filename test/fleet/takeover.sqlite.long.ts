import { sqlitePlace } from './places.js'
import { beforeFinalize, challengePending, takeoverCases } from './takeover-cases.js'

takeoverCases('SQLite', sqlitePlace, { killed: [challengePending], stopped: [beforeFinalize], cutOff: false })
