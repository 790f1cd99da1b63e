import type { AccountKey, Json } from '../messages/jws.js'
import { Problem } from '../messages/problem.js'
import type { Fault } from '../resources/faults.js'
import type { Account } from '../resources/resources.js'

/** An HTTP reply. */
export interface Reply {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  readonly contentType?: string
  /** A string is sent unchanged, an object as JSON. */
  readonly body?: string | object
  /** What to do to the connection in the middle of the body. */
  readonly breakOff?: Fault['breakOff']
}

/** A request whose JWS has been verified. */
export interface SignedRequest {
  /** The resource identifier: the last segment of the URL. */
  readonly id: string
  readonly url: string
  /** `undefined` for POST-as-GET (RFC 8555 §6.3). */
  readonly payload: Json | undefined
  readonly key: AccountKey
  /** `undefined` for newAccount only. */
  readonly account: Account | undefined
}

/** A valid, authorized request that has not yet had any effect. */
export interface PreparedRequest {
  /** The DNS names that the request concerns. */
  readonly hosts: readonly string[]
  run(fault: Fault | undefined): Reply | Promise<Reply>
}

/** Returns a JSON reply. */
export function ok(body: object, headers: Reply['headers'] = {}, status = 200): Reply {
  return { status, headers, body }
}

/** @throws Problem unauthorized when the resource belongs to another account */
export function requireOwner(accountId: string, { account }: SignedRequest): void {
  if (account?.id !== accountId) throw new Problem('unauthorized', 'The resource belongs to another account')
}

/** @throws Problem malformed when the request is not POST-as-GET */
export function requireRead({ payload }: SignedRequest): void {
  if (payload) throw new Problem('malformed', 'The resource is read-only: send an empty payload')
}
