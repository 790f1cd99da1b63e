import { setTimeout as sleep } from 'node:timers/promises'
import { type OptionNames, plainObject } from '../../../util/validate.js'
import { type ProblemDocument, problemStatus, problemUri } from '../messages/problem.js'
import { type Endpoint, endpoints } from './urls.js'

/** A problem with one identifier of an order. RFC 8555 §6.7.1. */
export interface Subproblem {
  /** Problem type, with or without `urn:ietf:params:acme:error:`. */
  readonly type: string
  /** The human-readable text. Default: none. */
  readonly detail?: string
  /** The DNS name that it is about. Default: none. */
  readonly host?: string
}

/**
 * A fault at one endpoint. With `status`, `type` or `body`, the fault's reply replaces the endpoint's, and the request
 * has no effect. With only `delayMs`, `retryAfter`, `contentType`, `relativeUrls` or `breakOff`, the endpoint handles the
 * request, and its reply is changed.
 */
export interface Fault {
  /** The endpoint that fails. */
  readonly on: Endpoint
  /** How many requests fail. Default 1, at least 1; Infinity is allowed. */
  readonly times?: number
  /** Limits the fault to requests that concern this DNS name, in lower case. Default: all requests. */
  readonly host?: string
  /** HTTP status, 200 to 599. Default: the status of `type`, or 500 when that is unknown. */
  readonly status?: number
  /** Problem type, with or without `urn:ietf:params:acme:error:`. Default serverInternal. RFC 8555 §6.7. */
  readonly type?: string
  /** The problem's human-readable text. Default: a text that says the fault is deliberate. */
  readonly detail?: string
  /** The Retry-After header: seconds, at least 0, or an HTTP date. Default: none. RFC 9110 §10.2.3. */
  readonly retryAfter?: number | string
  /** Milliseconds to wait first. Default 0; 0 to 2,147,483,647. */
  readonly delayMs?: number
  /** Body to send instead of a problem document, unchanged. */
  readonly body?: string
  /**
   * The media type of `body`, or without `body` that of the endpoint's reply; `''` for none. Default: `text/plain` for
   * `body`, else that of the endpoint.
   */
  readonly contentType?: string
  /**
   * The Location header of a redirect: an absolute or relative URL. `/directory?moved` leads to the same directory.
   * Requires a `status` of 301, 302, 303, 307 or 308. Default: none. RFC 9110 §15.4.
   */
  readonly location?: string
  /** Makes the URLs in the endpoint's reply relative, in the body and the Location header. Default false. */
  readonly relativeUrls?: boolean
  /** The problem's subproblems. Default: none. RFC 8555 §6.7.1. */
  readonly subproblems?: readonly Subproblem[]
  /** Send no reply; the connection stays open until the CA closes. Default false. */
  readonly hang?: boolean
  /**
   * Breaks off the reply, from the fault or from the endpoint, in the middle of its body: `stall` sends nothing more
   * until the CA closes, `end` closes the connection, `reset` resets it. Default: the CA sends the whole body.
   *
   * Unlike `hang`, the request has its effect: the order is placed, and the client does not learn of it.
   */
  readonly breakOff?: 'stall' | 'end' | 'reset'
  /**
   * Only on `challenge`: accepts the client's response, then fails the validation with `type` and `detail` without
   * connecting to the server. RFC 8555 §7.5.1.
   */
  readonly invalid?: true
  /**
   * Only with `invalid`: the authorization and the order stay pending although the challenge is invalid, as at smallstep's
   * CA. Default false: both become invalid, as RFC 8555 §7.1.6 requires.
   */
  readonly authorizationStaysPending?: boolean
}

/** A fault that has been set. */
export interface ActiveFault {
  /** How many requests the fault has affected. */
  readonly hits: number
  /** Removes the fault. No effect when it is no longer set. */
  remove(): void
}

/** A fault's reply to a request. */
export interface FaultReply {
  readonly status: number
  readonly contentType: string
  readonly body: string | ProblemDocument
  readonly headers?: Readonly<Record<string, string>>
}

/** Holds the active faults in the order in which they were set. Only the first match applies to a request. */
export class Faults {
  readonly #active: { fault: Fault; remaining: number; hits: number }[] = []

  /**
   * @throws TypeError for an unknown option
   * @throws RangeError when a value is outside its range
   */
  add(fault: Fault): ActiveFault {
    validateFault(fault)
    const active = this.#active
    const entry = { fault: { ...fault }, remaining: fault.times ?? 1, hits: 0 }
    active.push(entry)
    return {
      get hits() {
        return entry.hits
      },
      remove() {
        const index = active.indexOf(entry)
        if (index >= 0) active.splice(index, 1)
      },
    }
  }

  /** Returns the fault that applies to a request, and counts the request. */
  match(endpoint: Endpoint, hosts: readonly string[]): Fault | undefined {
    const index = this.#active.findIndex(
      ({ fault }) => fault.on === endpoint && (fault.host === undefined || hosts.includes(fault.host)),
    )
    const entry = this.#active[index]
    if (entry === undefined) return undefined
    entry.hits += 1
    entry.remaining -= 1
    if (entry.remaining < 1) this.#active.splice(index, 1)
    return entry.fault
  }
}

/**
 * Applies a fault: waits, hangs, or builds its reply.
 * @returns the reply, or `undefined` when the endpoint must handle the request
 * @throws when the signal aborts during the delay or the hang
 */
export async function applyFault(fault: Fault, signal: AbortSignal): Promise<FaultReply | undefined> {
  if (fault.delayMs) await sleep(fault.delayMs, undefined, { signal })
  if (fault.hang) await rejectOnAbort(signal)
  const headers = fault.location === undefined ? {} : { location: fault.location }
  if (fault.body !== undefined) {
    const { status = 500, contentType = 'text/plain', body } = fault
    return { status, contentType, body, headers }
  }
  if (fault.invalid || (fault.status === undefined && fault.type === undefined)) return undefined
  const body = problemOf(fault)
  return { status: body.status, contentType: 'application/problem+json', body, headers }
}

/** Returns the problem document of a fault. */
export function problemOf({ type = 'serverInternal', status, detail, subproblems }: Fault): ProblemDocument {
  return {
    type: problemUri(type),
    detail: detail ?? 'This fault was set on purpose',
    status: status ?? problemStatus(type),
    ...(subproblems && {
      subproblems: subproblems.map(({ type: subtype, detail: text, host }) => ({
        type: problemUri(subtype),
        ...(text !== undefined && { detail: text }),
        ...(host !== undefined && { identifier: { type: 'dns', value: host } }),
      })),
    }),
  }
}

function rejectOnAbort(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason)
    else signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
}

const breakOffs: readonly unknown[] = ['stall', 'end', 'reset'] satisfies Fault['breakOff'][]

const faultNames: OptionNames<Fault> = {
  on: true,
  times: true,
  host: true,
  status: true,
  type: true,
  detail: true,
  retryAfter: true,
  delayMs: true,
  body: true,
  contentType: true,
  location: true,
  relativeUrls: true,
  subproblems: true,
  hang: true,
  breakOff: true,
  invalid: true,
  authorizationStaysPending: true,
}
/** The statuses with which a client looks at Location. RFC 9110 §15.4. */
const redirects: readonly number[] = [301, 302, 303, 307, 308]

function validateFault(fault: Fault): void {
  plainObject<Fault>('TestCa.fault: options', fault, faultNames)
  const { on, times = 1, status = 200, delayMs = 0, retryAfter = 0, breakOff = 'end', invalid } = fault
  const check = (isValid: boolean, expected: string) => {
    if (!isValid) throw new RangeError(`TestCa.fault: ${expected}`)
  }
  const maxDelayMs = 2 ** 31 - 1
  check(endpoints.includes(on), `on must be one of ${endpoints.join(', ')}, not ${on}`)
  check(times >= 1, `times must be a number, at least 1, not ${times}`)
  check(status >= 200 && status <= 599, `status must be a number from 200 to 599, not ${status}`)
  check(
    delayMs >= 0 && delayMs <= maxDelayMs,
    `delayMs must be a number from 0 to ${maxDelayMs}, not ${delayMs}`,
  )
  check(
    typeof retryAfter !== 'number' || retryAfter >= 0,
    `retryAfter must be a number, at least 0, or an HTTP date, not ${retryAfter}`,
  )
  check(breakOffs.includes(breakOff), `breakOff must be one of ${breakOffs.join(', ')}, not ${breakOff}`)
  const { location, authorizationStaysPending } = fault
  check(
    location === undefined || redirects.includes(status),
    `location requires a status of ${redirects.join(', ')}, not ${fault.status}`,
  )
  check(
    !authorizationStaysPending || invalid === true,
    'authorizationStaysPending requires invalid to be true',
  )
  check(!invalid || on === 'challenge', `invalid requires on to be challenge, not ${on}`)
}
