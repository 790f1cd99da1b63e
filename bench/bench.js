import { benchHandshakes } from './handshakes.js'
import { benchImports } from './imports.js'

console.log(`Node ${process.version}, ${process.arch}\n`)
benchImports()
console.log()
await benchHandshakes()
