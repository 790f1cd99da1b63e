import { createHash } from 'node:crypto'
import { createServer, type Server } from 'node:tls'

/** How a server verifies its clients. */
export interface ClientVerification {
  readonly ca?: unknown
  readonly crl?: unknown
  readonly requestCert?: boolean | undefined
  readonly rejectUnauthorized?: boolean | undefined
}

/** OpenSSL's limit is 32 bytes. */
const maxBytes = 32

/**
 * Returns a `sessionIdContext` that is the same on all machines, and another one for servers that verify their clients in
 * another way: no session of one may be resumed at the other. Node 20 and 22 take the client of a resumed TLS 1.3 session
 * without a client certificate for authorized.
 */
export function sessionIdContextOf({ ca, crl, requestCert, rejectUnauthorized }: ClientVerification): string {
  const hash = createHash('sha256').update('acme-cert-cache')
  for (const [name, value] of Object.entries({ ca, crl }))
    for (const part of [value].flat()) hash.update(`\n${name} ${digestOf(part)}`)
  if (requestCert) hash.update(rejectUnauthorized === false ? '\noptional' : '\nrequired')
  return hash.digest('hex').slice(0, maxBytes)
}

const digestOf = (part: unknown): string =>
  createHash('sha256')
    .update(
      ArrayBuffer.isView(part) ? Buffer.from(part.buffer, part.byteOffset, part.byteLength) : String(part),
    )
    .digest('hex')

/** Undocumented in Node: a server has these options as properties. */
type ServerOptions = Server & ClientVerification & { readonly sessionIdContext?: string }

/** How a server verifies its clients. */
export const verificationOf = (server: Server): ClientVerification => server as ServerOptions

let nodeDefault: string | undefined

/** Whether a server has a `sessionIdContext` of the application, which stays. */
export function hasOwnSessionIdContext(server: Server): boolean {
  const { sessionIdContext, ca, crl } = server as ServerOptions
  // Node derives it from the command line.
  nodeDefault ??= (createServer() as ServerOptions).sessionIdContext
  return ![undefined, nodeDefault, sessionIdContextOf({ ca, crl })].includes(sessionIdContext)
}
