import { years } from './years.js'

// Most handshakes have to read and check the certificate anew, which takes long.
years(6, { days: 200, memoryMax: 16 })
