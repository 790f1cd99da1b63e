import { years } from './years.js'

// Fewer days: most handshakes read and check the stored certificate, which takes long.
years(6, { days: 200, memoryMax: 16 })
