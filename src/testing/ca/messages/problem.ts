/**
 * HTTP status of each problem type this CA reports. RFC 8555 §6.7 names the types; alreadyReplaced is from
 * RFC 9773 §7.4, invalidProfile from draft-ietf-acme-profiles.
 */
const STATUS = {
  accountDoesNotExist: 400,
  alreadyReplaced: 409,
  badCSR: 400,
  badNonce: 400,
  badPublicKey: 400,
  badSignatureAlgorithm: 400,
  connection: 400,
  dns: 400,
  externalAccountRequired: 403,
  incorrectResponse: 403,
  invalidContact: 400,
  invalidProfile: 400,
  malformed: 400,
  orderNotReady: 403,
  rateLimited: 429,
  rejectedIdentifier: 400,
  serverInternal: 500,
  tls: 400,
  unauthorized: 403,
  unsupportedContact: 400,
  unsupportedIdentifier: 400,
  userActionRequired: 403,
} as const

/** The problem types this CA reports by itself, without their URN prefix. RFC 8555 §6.7. */
export type ProblemType = keyof typeof STATUS

/** A problem document as it goes over the wire. RFC 7807, RFC 8555 §6.7. */
export interface ProblemDocument {
  readonly type: string
  readonly detail: string
  readonly status: number
  readonly [member: string]: unknown
}

const URN = 'urn:ietf:params:acme:error:'

/** `rateLimited` to `urn:ietf:params:acme:error:rateLimited`; a type that is a URI already stays as it is. */
export function problemUri(type: string): string {
  return type.includes(':') ? type : URN + type
}

/** The HTTP status that goes with a type, in either spelling; 500 for a type that is not in the table. */
export function problemStatus(type: string): number {
  const name = type.startsWith(URN) ? type.slice(URN.length) : type
  return Object.hasOwn(STATUS, name) ? STATUS[name as ProblemType] : 500
}

/** Thrown by whatever handles a request; its document becomes the answer. */
export class Problem extends Error {
  override readonly name = 'Problem'
  readonly document: ProblemDocument
  readonly headers: Readonly<Record<string, string>>

  constructor(
    type: ProblemType,
    detail: string,
    more: { status?: number; members?: Record<string, unknown>; headers?: Record<string, string> } = {},
  ) {
    super(`${type}: ${detail}`)
    this.document = { type: problemUri(type), detail, status: more.status ?? STATUS[type], ...more.members }
    this.headers = more.headers ?? {}
  }
}
