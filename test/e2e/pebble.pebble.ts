import { startPebble } from '../support/pebble.js'
import { endToEnd } from './suite.js'

// By default, Pebble rejects 5 % of the nonces and sleeps up to 5 s before it validates.
endToEnd('Pebble', (ports) => startPebble({ ...ports, sleep: false }))
endToEnd('Pebble with sleeps and every fourth nonce rejected', (ports) =>
  startPebble({ ...ports, sleep: true, nonceReject: 25 }),
)
