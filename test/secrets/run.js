// A process that exercises everything that handles secrets, under all kinds of faults, and prints every value. The test
// passes no secret in arguments or environment, which are visible from outside.
import { secretsMade } from './made.js'
import { runManager } from './run-manager.js'
import { runStores } from './run-stores.js'
import { show, timesShown } from './show.js'

/**
 * @typedef {{ accountName: string, accountKey: string, endpoint: string, containerName: string }} Service
 * @typedef {{ service: Service, s3?: { endpoint: string, bucket: string } }} Places without `s3`, only the manager runs,
 *   and no request hangs
 * @typedef {(fault?: unknown, method?: string, end?: string) => Promise<unknown>} Break sets a fault for requests to
 *   Azure with this method (default: all) and this end of the path (default: all); without a fault, they are forwarded
 */

process.on('warning', show)
process.on('disconnect', () => process.exit())
process.on('message', async (/** @type {{ start?: Places }} */ { start }) => {
  if (!start) return
  await runManager(start.service, tellFault, start.s3 !== undefined)
  if (start.s3) await runStores(start.s3)
  process.send?.({ secrets: secretsMade(), timesShown: timesShown() })
})

/** @type {Break} */
const tellFault = (fault, method, end) =>
  new Promise((resolve) => {
    process.once('message', resolve)
    process.send?.({ fault: { fault, method, end } })
  })
