import { X509Certificate } from 'node:crypto'
import { createSecureContext, type SecureContext, type Server, type TLSSocket } from 'node:tls'
import type { KeyType } from '../certificates/certificate-id.js'
import { warn, warnUnhandled } from '../util/safe-call.js'

/**
 * Undocumented in Node: the certificates and the default context of a server, the context with which a socket was created,
 * and the certificate of a context, in DER.
 */
type ServerOptions = {
  readonly cert?: unknown
  readonly pfx?: unknown
  readonly passphrase?: string
  readonly _sharedCreds?: SecureContext
}
type Socket = TLSSocket & {
  readonly server?: ServerOptions
  readonly _handle?: { readonly _secureContext?: SecureContext } | null
}
type NativeContext = { getCertificate?(): Buffer | null | undefined }

/** What decides with which certificate OpenSSL signs. */
interface Signer {
  /** The type of the key. OpenSSL keeps one certificate for each. */
  readonly slot: string
  /** The signature algorithms, as in `tlsSocket.getSharedSigalgs()`: the name of one, or a prefix. */
  readonly prefix: string
}

/** Whether OpenSSL keeps the SNI host's certificate and the default ones side by side, if their key types differ. */
const isAffected = Number.parseInt(process.versions.node, 10) < 24

/** The signer of a context's one certificate. */
const signers = new WeakMap<SecureContext, readonly Signer[]>()
/** The signers of all certificates of a server, by its default context, which shows one of them. */
const serverSigners = new WeakMap<SecureContext, readonly Signer[]>()
/** The servers with a warning. */
const warned = new WeakSet<object>()

/** Why the handshake of a host may get another certificate, and what to do. */
export const otherKeyType =
  'a certificate of the server itself (key and cert, or pfx) has another key type than the certificate of its hosts. Before version 24, Node may serve the first one (nodejs/node#54235), so tlsOptions() refuses such handshakes, all of them under TLS 1.2. Give the server one certificate, with the key type of the manager (keyType), remove it, or use Node 24.'

/** Warns once for each server whose own certificate can be served instead of a host's. */
export function warnOfKeyTypes(server: Server, keyType: KeyType): void {
  if (!isAffected) return
  const slot = keyType === 'rsa-2048' ? 'rsa' : 'ec'
  const { _sharedCreds: context } = server as Server & ServerOptions
  try {
    if (context && defaultSigners(context, server as Server & ServerOptions).some((own) => own.slot !== slot))
      warnOnce(server)
  } catch (thrown) {
    warnUnhandled(thrown)
  }
}

/** @param server what the warning is about */
export function warnOnce(server: object): void {
  if (!warned.has(server)) warn(otherKeyType)
  warned.add(server)
}

/**
 * Returns what may happen if a handshake continues with the host's context: `none` if the client gets its certificate;
 * else the server has a certificate with a key of another type, and the client gets that one (`wrong`) or would get it
 * under an older version of TLS (`possible`). Before version 24, Node adds the host's certificate to the server's own
 * instead of replacing it, and OpenSSL chooses (https://github.com/nodejs/node/issues/54235).
 */
export function keyTypeConflict(socket: TLSSocket, host: SecureContext): 'none' | 'possible' | 'wrong' {
  const standard = isAffected ? (socket as Socket)._handle?._secureContext : undefined
  if (!standard) return 'none'
  const [right] = contextSigners(host)
  const others = defaultSigners(standard, (socket as Socket).server).filter(
    ({ slot }) => slot !== right?.slot,
  )
  if (!right || others.length === 0) return 'none'
  // Under TLS 1.2 the cipher decides, which is not yet chosen here.
  if (socket.getProtocol() !== 'TLSv1.3' || others.some(({ prefix }) => prefix === right.prefix))
    return 'wrong'
  const chosen = socket
    .getSharedSigalgs()
    .find((name) => [right, ...others].some(({ prefix }) => name.startsWith(prefix)))
  return chosen?.startsWith(right.prefix) ? 'possible' : 'wrong'
}

/** Whether the server has a certificate of its own, which it serves if a handshake gets no context. */
export function hasOwnCertificate(socket: TLSSocket): boolean {
  const standard = (socket as Socket)._handle?._secureContext
  return standard !== undefined && contextSigners(standard).length > 0
}

function defaultSigners(context: SecureContext, server: ServerOptions | undefined): readonly Signer[] {
  const known = serverSigners.get(context)
  if (known) return known
  const found = [...contextSigners(context), ...optionSigners(server ?? {})]
  serverSigners.set(context, found)
  return found
}

function contextSigners(context: SecureContext): readonly Signer[] {
  const known = signers.get(context)
  if (known) return known
  // `addContext()` keeps the native context alone.
  const native = (context.context ?? context) as NativeContext
  const der = native.getCertificate?.()
  const found = der ? [signerOf(new X509Certificate(der))] : []
  signers.set(context, found)
  return found
}

/** The leaf certificates in the options `cert` and `pfx` of a server, each of which can be an array. */
function optionSigners({ cert, pfx, passphrase }: ServerOptions): Signer[] {
  const chains = [cert].flat().filter((chain) => typeof chain === 'string' || Buffer.isBuffer(chain))
  const stores = [pfx].flat().filter((store) => store !== undefined && store !== null)
  return [
    ...chains.map((chain) => signerOf(new X509Certificate(chain))),
    ...stores.flatMap((store) =>
      contextSigners(
        createSecureContext({ pfx: [store as Buffer], ...(passphrase !== undefined && { passphrase }) }),
      ),
    ),
  ]
}

/** RFC 8446 section 4.2.3: each curve has one algorithm. An RSA key has several, of which TLS 1.3 uses RSA-PSS. */
function signerOf({ publicKey }: X509Certificate): Signer {
  const { asymmetricKeyType: slot = '', asymmetricKeyDetails: { namedCurve = '' } = {} } = publicKey
  if (slot === 'ec') {
    const hash = { secp384r1: 'SHA384', secp521r1: 'SHA512' }[namedCurve] ?? 'SHA256'
    return { slot, prefix: `ECDSA+${hash}` }
  }
  if (slot === 'ed25519' || slot === 'ed448') return { slot, prefix: `Ed${slot.slice(2)}` }
  return { slot, prefix: 'RSA-PSS+' }
}
