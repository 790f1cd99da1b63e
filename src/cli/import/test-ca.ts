import type { Terminal } from '../console/terminal.js'
import type { CertificateDetails } from '../container/certificate-details.js'

/**
 * Parts of the issuer names of test CAs: Let's Encrypt staging, today `(STAGING)` and formerly `Fake LE`
 * (https://letsencrypt.org/docs/staging-environment/), Pebble, this package's TestCa, Buypass's test CA, mkcert and Caddy's
 * local CA.
 */
const testIssuer = /\(STAGING\)|\bFake LE\b|\bPebble\b|\btest\d*\b|\bmkcert\b|\bCaddy Local Authority\b/i

/** Returns whether the certificate is self-signed, or the name of an issuer in its chain is that of a test CA. */
export const isFromTestCa = ({ chain }: CertificateDetails): boolean =>
  chain[0]?.subject === chain[0]?.issuer || chain.some(({ issuer }) => testIssuer.test(issuer))

/**
 * Creates a check that keeps certificates of test CAs out of the keys of Let's Encrypt's production CA, where servers
 * would serve them to browsers until they expire. The check returns why the certificate is refused, or `undefined`.
 *
 * It asks the user once. If there is no terminal to ask on, it refuses.
 * @param isAllowed whether to warn instead of asking
 */
export function createTestCaCheck(terminal: Terminal, isAllowed: boolean) {
  let isConfirmed: boolean | undefined = isAllowed ? true : undefined
  const warned = new Set<string>()
  return async (certificate: CertificateDetails): Promise<string | undefined> => {
    if (!isFromTestCa(certificate)) return undefined
    const { issuer } = certificate
    if (!warned.has(issuer)) {
      terminal.printWarning(
        `"${issuer}" looks like a test CA, but its certificates go to the keys of Let's Encrypt production. Select the keys of another CA with --directory.`,
      )
    }
    warned.add(issuer)
    isConfirmed ??=
      (await terminal.confirm("Import certificates of test CAs to the keys of Let's Encrypt production?")) ??
      false
    if (isConfirmed) return undefined
    return `the issuer "${issuer}" looks like a test CA. Select its keys with --directory, or pass --yes.`
  }
}
