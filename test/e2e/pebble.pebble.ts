import { startPebble } from '../support/pebble.js'
import { endToEnd } from './suite.js'

// Pebble refuses 5 % of the nonces, and sleeps up to 5 s before it validates, unless told otherwise.
endToEnd('Pebble', (ports) => startPebble({ ...ports, sleep: false }))
endToEnd('Pebble with its sleeps, and every fourth nonce refused', (ports) =>
  startPebble({ ...ports, sleep: true, nonceReject: 25 }),
)
