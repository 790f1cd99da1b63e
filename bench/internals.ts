// Internal modules that the benchmarks measure.

export { requireHost } from '../src/certificates/hostname.js'
export { RenewalSchedule } from '../src/certificates/renewal-schedule.js'
export { composeManager } from '../src/manager/compose.js'
export { checkManagerOptions } from '../src/manager/options.js'
