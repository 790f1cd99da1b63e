import { fleetCases } from '../../fleet/cases.js'
import { sqlPlace } from '../../fleet/places.js'
import { beforeFinalize, challengePending, takeoverCases } from '../../fleet/takeover-cases.js'
import type { Target } from './connect.js'
import { openRelay } from './relay.js'

type Address =
  | { kind: 'postgres'; user: string; database: string }
  | { kind: 'mariadb'; user: string; database: string }

/** Registers the cases of a fleet on a database server with its socket at `path`. */
export function sqlFleet(name: string, path: string, address: Address) {
  const at = (port: number): Target => ({ ...address, port })
  const place = async () => {
    const direct = await openRelay({ path })
    const way = async () => {
      const { port, ...relay } = await openRelay({ path })
      return { target: at(port), ...relay }
    }
    return sqlPlace(at(direct.port), way, direct.close)
  }
  fleetCases(name, place)
  takeoverCases(name, place, { killed: [challengePending], stopped: [beforeFinalize], cutOff: true })
}
