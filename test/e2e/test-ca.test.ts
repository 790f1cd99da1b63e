import { startTestCa } from './start-test-ca.js'
import { endToEnd } from './suite.js'

endToEnd('the test CA', (ports) => startTestCa(ports))
