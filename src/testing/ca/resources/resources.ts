import { randomBytes } from 'node:crypto'
import type { SignedLeaf } from '../certificates/issued.js'
import type { AccountKey } from '../messages/jws.js'
import { Problem, type ProblemDocument } from '../messages/problem.js'
import type { ChallengeType } from './settings.js'

/** How long an order and its authorizations stay open: the 7 days of Let's Encrypt. */
const OPEN_MS = 7 * 86_400_000

/** RFC 8555 §7.1.2. */
export interface Account {
  readonly id: string
  readonly key: AccountKey
  status: 'valid' | 'deactivated'
  contact: readonly string[]
  /** The signed binding as it came, once it was verified. RFC 8555 §7.3.4. */
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
  /** The certificate this order replaces. RFC 9773 §5. */
  readonly replaces: string | undefined
  error?: ProblemDocument
  /** PEM chain, once the order is valid. */
  certificate?: string
  /** Its leaf, likewise. */
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

/** What the CA remembers, and the state changes of RFC 8555 §7.1.6. */
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

  accountOf(key: AccountKey): Account | undefined {
    return [...this.accounts.values()].find((account) => account.key.thumbprint === key.thumbprint)
  }

  /** A pending order with a new pending authorization for each host: none is reused. */
  addOrder(
    account: Account,
    hosts: readonly string[],
    types: readonly ChallengeType[],
    wishes: { profile: string | undefined; replaces: string | undefined },
  ): Order {
    const authorizations: Authorization[] = []
    const expires = this.#now() + OPEN_MS
    const order: Order = {
      id: this.#nextId(),
      account,
      status: 'pending',
      expires,
      hosts,
      authorizations,
      ...wishes,
    }
    for (const host of hosts) authorizations.push(this.#addAuthorization(order, host, types))
    this.orders.set(order.id, order)
    return order
  }

  /** Marks what was left open too long. To be called before the state of an order is looked at. */
  expire(order: Order): void {
    if (this.#now() < order.expires || (order.status !== 'pending' && order.status !== 'ready')) return
    for (const authorization of order.authorizations) {
      if (authorization.status === 'pending' || authorization.status === 'valid') {
        authorization.status = 'expired'
      }
    }
    order.status = 'invalid'
    order.error = new Problem('malformed', 'The order was left open until it expired').document
  }

  validated(challenge: Challenge): void {
    challenge.status = 'valid'
    challenge.validated = this.#now()
    const { authorization } = challenge
    const { order } = authorization
    if (authorization.status !== 'pending') return
    authorization.status = 'valid'
    const done = order.authorizations.every(({ status }) => status === 'valid')
    if (done && order.status === 'pending') order.status = 'ready'
  }

  refused(challenge: Challenge, error: ProblemDocument): void {
    challenge.status = 'invalid'
    challenge.error = error
    const { authorization } = challenge
    if (authorization.status !== 'pending') return
    authorization.status = 'invalid'
    this.invalidate(authorization.order, error)
  }

  deactivate(authorization: Authorization): void {
    if (authorization.status !== 'pending' && authorization.status !== 'valid') return
    authorization.status = 'deactivated'
    const { document } = new Problem('unauthorized', 'An authorization of the order was deactivated')
    this.invalidate(authorization.order, document)
  }

  invalidate(order: Order, error: ProblemDocument): void {
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
