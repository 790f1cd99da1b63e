import type { AccountKey, Json } from '../messages/jws.js'
import { Problem } from '../messages/problem.js'
import type { Fault } from '../resources/faults.js'
import type { Account } from '../resources/resources.js'

/** What an endpoint answers. */
export interface Reply {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  readonly contentType?: string
  /** A string goes as it is, an object as JSON. */
  readonly body?: string | object
  /** What becomes of it half way through the body. */
  readonly breakOff?: Fault['breakOff']
}

/** A request whose JWS has been verified. */
export interface Call {
  /** The last part of the URL of a resource. */
  readonly id: string
  readonly url: string
  /** undefined: POST-as-GET (RFC 8555 §6.3). */
  readonly payload: Json | undefined
  readonly key: AccountKey
  /** undefined for newAccount only. */
  readonly account: Account | undefined
}

/** A request that is known to be well-formed and allowed, not yet carried out. */
export interface Prepared {
  /** The names it concerns. */
  readonly hosts: readonly string[]
  run(fault: Fault | undefined): Reply | Promise<Reply>
}

/** A 200 with JSON, or another status. */
export function ok(body: object, headers: Reply['headers'] = {}, status = 200): Reply {
  return { status, headers, body }
}

/** @throws Problem unauthorized when the resource is another account's */
export function requireOwner(accountId: string, { account }: Call): void {
  if (account?.id !== accountId) throw new Problem('unauthorized', 'This belongs to another account')
}

/** @throws Problem malformed when the request is not POST-as-GET */
export function requireRead({ payload }: Call): void {
  if (payload) throw new Problem('malformed', 'This can only be read, with an empty payload')
}
