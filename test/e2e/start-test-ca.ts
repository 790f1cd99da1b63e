import { X509Certificate } from 'node:crypto'
import { TestCa, type TestCaOptions } from '../../src/testing/index.js'
import type { CaUnderTest } from './suite.js'

/** The test CA with the profiles of the suite. */
export async function startTestCa(options: TestCaOptions): Promise<CaUnderTest> {
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
