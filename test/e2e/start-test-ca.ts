import { X509Certificate } from 'node:crypto'
import { TestCa, type TestCaOptions } from '../../src/testing/index.js'
import { endToEnd } from './suite.js'

async function startTestCa(options: TestCaOptions) {
  const profiles = { default: 'ninety days', shortlived: 'six days' }
  const ca = await TestCa.start({ ...options, profiles })
  const { directoryUrl, endpointCertificate, rootCertificate } = ca
  return {
    ...{ directoryUrl, endpointCertificate, rootCertificate },
    async suggestRenewal(certificate: string, window: { start: number; end: number }) {
      ca.suggestRenewal(new X509Certificate(certificate).serialNumber, window)
    },
    close: () => ca.close(),
  }
}

endToEnd('the test CA', (ports) => startTestCa(ports))
endToEnd('the test CA when it is slow and picky', (ports) =>
  startTestCa({ ...ports, badNonceRate: 0.2, validationDelayMs: 200, issuanceDelayMs: 200 }),
)
