import { years } from './years.js'

// Fewer days: most handshakes read and check the stored certificate, which takes long.
years(6, { days: Math.min(200, Number(process.env.DAYS ?? 400) / 2), memoryMax: 16 })
