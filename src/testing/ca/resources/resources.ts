import { randomBytes } from 'node:crypto'
import type { SignedLeaf } from '../certificates/types.js'
import type { AccountKey } from '../messages/jws.js'
import { Problem, type ProblemDocument } from '../messages/problem.js'
import type { ChallengeType } from './settings.js'

/** An order and its authorizations expire after 7 days, as at Let's Encrypt. */
const orderLifetimeMs = 7 * 86_400_000

/** RFC 8555 §7.1.2. */
export interface Account {
  readonly id: string
  readonly key: AccountKey
  status: 'valid' | 'deactivated'
  contact: readonly string[]
  /** The verified external account binding, as received. RFC 8555 §7.3.4. */
  readonly binding: unknown
}

/** RFC 8555 §7.1.3. */
export interface Order {
  readonly id: string
  readonly account: Account
  status: 'pending' | 'ready' | 'processing' | 'valid' | 'invalid'
  /** Milliseconds since the epoch. */
  readonly expires: number
  readonly hosts: readonly string[]
  readonly authorizations: readonly Authorization[]
  readonly profile: string | undefined
  /** The identifier of the certificate that the order replaces. RFC 9773 §5. */
  readonly replaces: string | undefined
  error?: ProblemDocument
  /** PEM chain; set when the order becomes valid. */
  certificate?: string
  /** Set together with `certificate`. */
  leaf?: SignedLeaf
}

/** RFC 8555 §7.1.4. */
export interface Authorization {
  readonly id: string
  readonly order: Order
  readonly host: string
  status: 'pending' | 'valid' | 'invalid' | 'deactivated' | 'expired'
  readonly challenges: readonly Challenge[]
}

/** RFC 8555 §8. */
export interface Challenge {
  readonly id: string
  readonly authorization: Authorization
  readonly type: ChallengeType
  readonly token: string
  status: 'pending' | 'processing' | 'valid' | 'invalid'
  /** Milliseconds since the epoch. */
  validated?: number
  error?: ProblemDocument
}

/** Stores the CA's resources and applies the state transitions of RFC 8555 §7.1.6. */
export class Resources {
  readonly accounts: Map<string, Account> = new Map()
  readonly orders: Map<string, Order> = new Map()
  readonly authorizations: Map<string, Authorization> = new Map()
  readonly challenges: Map<string, Challenge> = new Map()
  readonly #now: () => number
  #lastId = 0

  constructor(now: () => number) {
    this.#now = now
  }

  addAccount(key: AccountKey, contact: readonly string[], binding: unknown): Account {
    const account: Account = { id: this.#nextId(), key, status: 'valid', contact, binding }
    this.accounts.set(account.id, account)
    return account
  }

  findAccount(key: AccountKey): Account | undefined {
    return [...this.accounts.values()].find((account) => account.key.thumbprint === key.thumbprint)
  }

  /** Adds a pending order with a new pending authorization for each host. */
  addOrder(
    account: Account,
    hosts: readonly string[],
    types: readonly ChallengeType[],
    request: { profile: string | undefined; replaces: string | undefined },
  ): Order {
    const authorizations: Authorization[] = []
    const expires = this.#now() + orderLifetimeMs
    const order: Order = {
      id: this.#nextId(),
      account,
      status: 'pending',
      expires,
      hosts,
      authorizations,
      ...request,
    }
    for (const host of hosts) authorizations.push(this.#addAuthorization(order, host, types))
    this.orders.set(order.id, order)
    return order
  }

  /** Invalidates the order if it has expired. Call this before you read an order's status. */
  expireOrder(order: Order): void {
    if (this.#now() < order.expires || (order.status !== 'pending' && order.status !== 'ready')) return
    for (const authorization of order.authorizations) {
      if (authorization.status === 'pending' || authorization.status === 'valid') {
        authorization.status = 'expired'
      }
    }
    order.status = 'invalid'
    order.error = new Problem('malformed', 'The order was left open until it expired').document
  }

  passChallenge(challenge: Challenge): void {
    challenge.status = 'valid'
    challenge.validated = this.#now()
    const { authorization } = challenge
    const { order } = authorization
    if (authorization.status !== 'pending') return
    authorization.status = 'valid'
    const allValid = order.authorizations.every(({ status }) => status === 'valid')
    if (allValid && order.status === 'pending') order.status = 'ready'
  }

  /** @param authorizationStaysPending see the fault of this name */
  failChallenge(challenge: Challenge, error: ProblemDocument, authorizationStaysPending = false): void {
    challenge.status = 'invalid'
    challenge.error = error
    const { authorization } = challenge
    if (authorization.status !== 'pending' || authorizationStaysPending) return
    authorization.status = 'invalid'
    this.invalidateOrder(authorization.order, error)
  }

  deactivateAuthorization(authorization: Authorization): void {
    if (authorization.status !== 'pending' && authorization.status !== 'valid') return
    authorization.status = 'deactivated'
    const { document } = new Problem('unauthorized', 'An authorization of the order was deactivated')
    this.invalidateOrder(authorization.order, document)
  }

  invalidateOrder(order: Order, error: ProblemDocument): void {
    if (order.status === 'valid') return
    order.status = 'invalid'
    order.error = error
  }

  #addAuthorization(order: Order, host: string, types: readonly ChallengeType[]): Authorization {
    const challenges: Challenge[] = []
    const authorization: Authorization = { id: this.#nextId(), order, host, status: 'pending', challenges }
    for (const type of types) {
      const token = randomBytes(32).toString('base64url')
      const challenge: Challenge = { id: this.#nextId(), authorization, type, token, status: 'pending' }
      challenges.push(challenge)
      this.challenges.set(challenge.id, challenge)
    }
    this.authorizations.set(authorization.id, authorization)
    return authorization
  }

  #nextId(): string {
    this.#lastId += 1
    return String(this.#lastId)
  }
}
