import { X509Certificate } from 'node:crypto'
import type { SecureContext, TLSSocket } from 'node:tls'

/** Undocumented in Node: the context with which a socket was created, and the certificate of a context, in DER. */
type Socket = TLSSocket & { readonly _handle?: { readonly _secureContext?: SecureContext } | null }
type NativeContext = { getCertificate?(): Buffer | null | undefined }

/** Whether OpenSSL keeps the SNI host's certificate and the default one side by side, if their key types differ. */
const isAffected = Number.parseInt(process.versions.node, 10) < 24

/**
 * The signature algorithms of a context's certificate, as in `tlsSocket.getSharedSigalgs()`: the name of one, or a prefix.
 * `undefined` for a context without certificate.
 */
const signatures = new WeakMap<SecureContext, string | undefined>()

/**
 * Returns what may happen if a handshake continues with the host's context: `none` if the client gets its certificate;
 * else the server's default certificate has a key of another type, and the client gets that one (`wrong`) or would get it
 * under an older version of TLS (`possible`). Before version 24, Node adds the host's certificate to the default one
 * instead of replacing it, and OpenSSL chooses (https://github.com/nodejs/node/issues/54235).
 */
export function keyTypeConflict(socket: TLSSocket, host: SecureContext): 'none' | 'possible' | 'wrong' {
  const standard = isAffected ? (socket as Socket)._handle?._secureContext : undefined
  const [wrong, right] = [standard && signaturesOf(standard), signaturesOf(host)]
  if (!wrong || !right || isEc(wrong) === isEc(right)) return 'none'
  // Under TLS 1.2 the cipher decides, which is not yet chosen here.
  if (socket.getProtocol() !== 'TLSv1.3') return 'wrong'
  const chosen = socket.getSharedSigalgs().find((name) => name.startsWith(wrong) || name.startsWith(right))
  return chosen?.startsWith(right) ? 'possible' : 'wrong'
}

const isEc = (signature: string) => signature.startsWith('ECDSA')

function signaturesOf(context: SecureContext): string | undefined {
  if (signatures.has(context)) return signatures.get(context)
  const der = (context.context as NativeContext).getCertificate?.()
  const found = der ? signaturesWith(new X509Certificate(der)) : undefined
  signatures.set(context, found)
  return found
}

/** RFC 8446 section 4.2.3: each curve has one algorithm. An RSA key has several, of which TLS 1.3 uses RSA-PSS. */
function signaturesWith({ publicKey: { asymmetricKeyType, asymmetricKeyDetails } }: X509Certificate): string {
  if (asymmetricKeyType !== 'ec') return 'RSA-PSS+'
  const hash =
    { secp384r1: 'SHA384', secp521r1: 'SHA512' }[asymmetricKeyDetails?.namedCurve ?? ''] ?? 'SHA256'
  return `ECDSA+${hash}`
}
