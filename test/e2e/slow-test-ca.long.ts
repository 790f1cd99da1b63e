import { startTestCa } from './start-test-ca.js'
import { endToEnd } from './suite.js'

endToEnd('a slow test CA that rejects every fifth nonce', (ports) =>
  startTestCa({ ...ports, badNonceRate: 0.2, validationDelayMs: 200, issuanceDelayMs: 200 }),
)
