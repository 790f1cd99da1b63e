/**
 * The HTTP status of each problem type that the CA reports. The types are from RFC 8555 §6.7; alreadyReplaced is from
 * RFC 9773 §7.4, invalidProfile from draft-ietf-acme-profiles.
 */
const statusByType = {
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

/** A problem type that the CA reports, without the URN prefix. RFC 8555 §6.7. */
export type ProblemType = keyof typeof statusByType

/** A problem document as sent. RFC 7807, RFC 8555 §6.7. */
export interface ProblemDocument {
  readonly type: string
  readonly detail: string
  readonly status: number
  readonly [member: string]: unknown
}

const urnPrefix = 'urn:ietf:params:acme:error:'

/** Returns the URI of a type: `rateLimited` becomes `urn:ietf:params:acme:error:rateLimited`; a URI stays unchanged. */
export function problemUri(type: string): string {
  return type.includes(':') ? type : urnPrefix + type
}

/** Returns the HTTP status of a type, given with or without the URN prefix; 500 for an unknown type. */
export function problemStatus(type: string): number {
  const name = type.startsWith(urnPrefix) ? type.slice(urnPrefix.length) : type
  return Object.hasOwn(statusByType, name) ? statusByType[name as ProblemType] : 500
}

/** Thrown while a request is handled; its document becomes the reply. */
export class Problem extends Error {
  override readonly name = 'Problem'
  readonly document: ProblemDocument
  readonly headers: Readonly<Record<string, string>>

  constructor(
    type: ProblemType,
    detail: string,
    {
      status,
      members,
      headers = {},
    }: { status?: number; members?: Record<string, unknown>; headers?: Record<string, string> } = {},
  ) {
    super(`${type}: ${detail}`)
    this.document = { type: problemUri(type), detail, status: status ?? statusByType[type], ...members }
    this.headers = headers
  }
}

/** Returns the document of a {@link Problem}; any other error becomes serverInternal. */
export function toProblemDocument(error: unknown): ProblemDocument {
  return (error instanceof Problem ? error : new Problem('serverInternal', messageOf(error))).document
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
