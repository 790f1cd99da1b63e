/** The endpoints of the CA. A fault is set on one of them. */
export const endpoints = [
  'directory',
  'terms',
  'newNonce',
  'newAccount',
  'account',
  'orders',
  'newOrder',
  'order',
  'finalize',
  'authz',
  'challenge',
  'certificate',
  'renewalInfo',
] as const

/** An endpoint: a member of the directory, or a kind of resource. RFC 8555 §7.1. */
export type Endpoint = (typeof endpoints)[number]

/** Builds the URLs of the CA: `<origin>/<endpoint>` and `<origin>/<endpoint>/<id>`. */
export class Urls {
  /** For example `https://127.0.0.1:14000`. */
  readonly origin: string

  constructor(origin: string) {
    this.origin = origin
  }

  of(endpoint: Endpoint, id?: string): string {
    return id === undefined ? `${this.origin}/${endpoint}` : `${this.origin}/${endpoint}/${id}`
  }
}
