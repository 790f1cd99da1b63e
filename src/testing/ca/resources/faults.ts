import { setTimeout as sleep } from 'node:timers/promises'
import { type ProblemDocument, problemStatus, problemUri } from '../messages/problem.js'
import { ENDPOINTS, type Endpoint } from './representation.js'

/**
 * What goes wrong at one endpoint. A fault that has `status`, `type` or `body` answers in the place of the
 * endpoint, which then does nothing; one that has only `delayMs`, `retryAfter` or `breakOff` lets it answer.
 */
export interface Fault {
  /** The endpoint it is set on. */
  readonly on: Endpoint
  /** How many requests it meets. Default 1, at least 1; Infinity is legal. */
  readonly times?: number
  /** Only requests that concern this name, lower case. Default: all. */
  readonly host?: string
  /** HTTP status, from 200 to 599. Default: what belongs to `type`, else 500. */
  readonly status?: number
  /** Problem type, with or without `urn:ietf:params:acme:error:`. Default serverInternal. RFC 8555 §6.7. */
  readonly type?: string
  /** The problem's text for people. */
  readonly detail?: string
  /** The Retry-After header: seconds, or an HTTP date. RFC 9110 §10.2.3. */
  readonly retryAfter?: number | string
  /** Milliseconds to wait before anything else happens. Default 0. */
  readonly delayMs?: number
  /** This body, byte for byte, instead of a problem document. */
  readonly body?: string
  /** The media type of `body`. Default `text/plain`. */
  readonly contentType?: string
  /** Never answer; the connection stays open until the CA closes. */
  readonly hang?: boolean
  /**
   * What happens in the middle of the answer's body, whoever gives it: nothing more comes until the CA closes, the
   * connection ends, or it is reset. Default: the rest comes.
   */
  readonly breakOff?: 'stall' | 'end' | 'reset'
  /**
   * On `challenge`: accept the client's answer, then declare the validation failed with `type` and `detail`,
   * without connecting to anything. RFC 8555 §7.5.1.
   */
  readonly invalid?: true
}

/** A fault in place. */
export interface ActiveFault {
  /** How many requests it met. */
  readonly hits: number
  /** Takes it away. Harmless when it has gone. */
  remove(): void
}

/** A fault's answer to a request. */
export interface FaultReply {
  readonly status: number
  readonly contentType: string
  readonly body: string | ProblemDocument
}

/** The faults that have been set, in that order. A request meets the first that fits, and no other. */
export class Faults {
  readonly #active: { fault: Fault; left: number; hits: number }[] = []

  /** @throws RangeError when the fault cannot be */
  add(fault: Fault): ActiveFault {
    check(fault)
    const active = this.#active
    const entry = { fault: { ...fault }, left: fault.times ?? 1, hits: 0 }
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

  /** The fault this request meets, which thereby counts it. */
  take(endpoint: Endpoint, hosts: readonly string[]): Fault | undefined {
    const index = this.#active.findIndex(
      ({ fault }) => fault.on === endpoint && (fault.host === undefined || hosts.includes(fault.host)),
    )
    const entry = this.#active[index]
    if (entry === undefined) return undefined
    entry.hits += 1
    entry.left -= 1
    if (entry.left < 1) this.#active.splice(index, 1)
    return entry.fault
  }
}

/**
 * Lets a fault happen.
 * @returns the answer to give, or undefined when the endpoint is to answer
 * @throws the signal's AbortError, which is also how a hanging request ends
 */
export async function suffer(fault: Fault, signal: AbortSignal): Promise<FaultReply | undefined> {
  if (fault.delayMs) await sleep(fault.delayMs, undefined, { signal })
  if (fault.hang) await aborted(signal)
  if (fault.body !== undefined) {
    return {
      status: fault.status ?? 500,
      contentType: fault.contentType ?? 'text/plain',
      body: fault.body,
    }
  }
  if (fault.invalid || (fault.status === undefined && fault.type === undefined)) return undefined
  const body = problemOf(fault)
  return { status: body.status, contentType: 'application/problem+json', body }
}

/** The problem document a fault stands for. */
export function problemOf({ type = 'serverInternal', status, detail }: Fault): ProblemDocument {
  return {
    type: problemUri(type),
    detail: detail ?? 'This fault was set on purpose',
    status: status ?? problemStatus(type),
  }
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason)
    else signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
}

const breakOffs: readonly unknown[] = ['stall', 'end', 'reset'] satisfies Fault['breakOff'][]

function check({
  on,
  times = 1,
  status = 200,
  delayMs = 0,
  retryAfter = 0,
  breakOff = 'end',
  invalid,
}: Fault): void {
  if (!ENDPOINTS.includes(on)) throw new RangeError(`There is no endpoint ${on}: ${ENDPOINTS.join(', ')}`)
  if (!(times >= 1)) throw new RangeError(`times cannot be ${times}`)
  if (!(status >= 200 && status <= 599)) throw new RangeError(`status cannot be ${status}`)
  if (!(delayMs >= 0 && delayMs <= 2 ** 31 - 1)) throw new RangeError(`delayMs cannot be ${delayMs}`)
  if (typeof retryAfter === 'number' && !(retryAfter >= 0))
    throw new RangeError(`retryAfter cannot be ${retryAfter}`)
  if (!breakOffs.includes(breakOff)) throw new RangeError(`breakOff cannot be ${breakOff}`)
  if (invalid && on !== 'challenge') throw new RangeError('invalid is for challenges only')
}
