import { TestCa } from '../../src/testing/index.js'
import { endToEnd } from './suite.js'

endToEnd('the test CA', (ports) => TestCa.start(ports))
endToEnd('the test CA when it is slow and picky', (ports) =>
  TestCa.start({ ...ports, badNonceRate: 0.2, validationDelayMs: 200, issuanceDelayMs: 200 }),
)
