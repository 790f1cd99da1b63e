import { startTestCa } from './start-test-ca.js'
import { endToEnd } from './suite.js'

endToEnd('the test CA when it is slow and refuses every fifth nonce', (ports) =>
  startTestCa({ ...ports, badNonceRate: 0.2, validationDelayMs: 200, issuanceDelayMs: 200 }),
)
