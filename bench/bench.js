import { benchHandshakes } from './handshakes.js'
import { benchImports } from './imports.js'
import { benchIssuance } from './issuance.js'

console.log(`Node ${process.version}, ${process.arch}\n`)
benchImports()
console.log()
await benchHandshakes()
console.log()
await benchIssuance()
