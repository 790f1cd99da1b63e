import { useManagers } from '../support/managers.js'
import { testManagerOn } from './manager-storage-cases.js'
import { storageFaults } from './storage-faults.js'

const t = useManagers()
for (const fault of storageFaults) testManagerOn(t, fault)
