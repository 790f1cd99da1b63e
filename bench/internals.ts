/** What the package does not export. */

export { Schedule } from '../src/certificates/renewal-schedule.js'
export { assemble } from '../src/manager/compose.js'
export { checkManagerOptions } from '../src/manager/options.js'
