import { coldStartCase } from './cases.js'
import { azurePlace } from './places.js'

// Long enough for a busy machine: a store that times out is tested elsewhere.
const timeoutMs = 60_000

coldStartCase('Azure Blob Storage', () => azurePlace(timeoutMs), { machines: 4, handshakes: 25 })
