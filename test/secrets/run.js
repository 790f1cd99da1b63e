// A process that does everything which has to do with secrets, under all kinds of faults, and shows whatever it can
// get hold of. The test tells it nothing by arguments and environment, which can be seen from outside.
import { secretsMade } from './made.js'
import { runManager } from './run-manager.js'
import { runStores } from './run-stores.js'
import { show, timesShown } from './show.js'

/**
 * @typedef {{ accountName: string, accountKey: string, endpoint: string, containerName: string }} Service
 * @typedef {{ service: Service, s3?: { endpoint: string, bucket: string } }} Places without `s3` the manager alone runs,
 *   and no request hangs
 * @typedef {(fault?: unknown, method?: string, end?: string) => Promise<unknown>} Break what the way to Azure does
 *   with requests of a method (all), for a path with this end (all); nothing: forward them
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
