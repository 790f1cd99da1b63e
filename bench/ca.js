// Runs the test CA in a child process, so that its CPU time is not measured.
import { TestCa } from '#testing'

process.once('message', async (/** @type {{ tlsPort: number }} */ { tlsPort }) => {
  const ca = await TestCa.start({ tlsPort })
  process.send?.({ directoryUrl: ca.directoryUrl, ca: ca.endpointCertificate })
})
process.on('disconnect', () => process.exit())
