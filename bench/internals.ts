/** What the package does not export. */
export { assemble } from '../src/assembly.js'
export { checkManagerOptions } from '../src/manager-options.js'
export { Schedule } from '../src/schedule.js'
