import { dirPlace } from './places.js'
import { beforeFinalize, challengePending, takeoverCases } from './takeover-cases.js'

takeoverCases('a folder', dirPlace, { killed: [challengePending], stopped: [beforeFinalize], cutOff: true })
