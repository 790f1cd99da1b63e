import { fork } from 'node:child_process'
import { once } from 'node:events'
import { benchHandshakes } from './handshakes.js'
import { benchImports } from './imports.js'
import { benchIssuance } from './issuance.js'
import { benchResumption } from './resumption.js'

console.log(`Node ${process.version}, ${process.arch}\n`)
benchImports()
console.log()
await benchHandshakes()
console.log()
await benchResumption()
console.log()
await benchIssuance()
console.log()
await benchScheduler()

async function benchScheduler() {
  const child = fork(new URL('scheduler.js', import.meta.url), { execArgv: ['--expose-gc'] })
  const [{ cpuShare, readsPerSecond, scheduleBytes, keptHostBytes }] = await once(child, 'message')
  await once(child, 'exit')
  console.log('10,000 certificates in memory, kept, without handshakes, over 8 hours of virtual time')
  console.log(`  CPU: ${(100 * cpuShare).toFixed(3)} % of one core (at most 1), the store's client apart`)
  console.log(`  reads of the store: ${readsPerSecond.toFixed(2)} a second`)
  console.log(
    `  memory of the scheduler: ${scheduleBytes.toFixed(0)} bytes per host, ${keptHostBytes.toFixed(0)} more for a kept one (at most 200)`,
  )
}
