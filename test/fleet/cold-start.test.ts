import { coldStartCase } from './cases.js'
import { azurePlace } from './places.js'

coldStartCase('Azure Blob Storage', azurePlace, { machines: 4, handshakes: 25 })
