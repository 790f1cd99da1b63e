// Stores with a defect that only shows after a lease has expired.
import { describe } from 'vitest'
import { brokenLeases } from './broken-locks.js'
import { testDetection } from './broken-store.js'

describe.concurrent('the contract detects a store that', () => testDetection(brokenLeases))
