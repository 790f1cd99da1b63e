// The test CA in a process of its own, for benchmarks.
import { TestCa } from '#testing'

process.once('message', async (/** @type {{ tlsPort: number }} */ { tlsPort }) => {
  const ca = await TestCa.start({ tlsPort })
  process.send?.({ directoryUrl: ca.directoryUrl, ca: ca.endpointCertificate })
})
process.on('disconnect', () => process.exit())
