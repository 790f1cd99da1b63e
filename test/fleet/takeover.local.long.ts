import { dirPlace, sqlitePlace } from './places.js'
import { beforeFinalize, challengePending, takeoverCases } from './takeover-cases.js'

const stages = { killed: [challengePending], stopped: [beforeFinalize] }
takeoverCases('a folder', dirPlace, { ...stages, cutOff: true })
takeoverCases('SQLite', sqlitePlace, { ...stages, cutOff: false })
