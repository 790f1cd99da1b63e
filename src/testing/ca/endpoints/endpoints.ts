import { type Authority, issue, validate } from '../authority/authority.js'
import { checkCsr } from '../certificates/csr.js'
import { parseIdentifiers } from '../messages/identifiers.js'
import type { Json } from '../messages/jws.js'
import { Problem } from '../messages/problem.js'
import type { Fault } from '../resources/faults.js'
import type { Endpoint } from '../resources/representation.js'
import type { Authorization, Challenge, Order } from '../resources/resources.js'
import { newAccount, updateAccount } from './accounts.js'
import { type Call, ok, type Prepared, type Reply, requireOwner, requireRead } from './call.js'
import { checkReplaces } from './renewal-info.js'

/** The endpoints that take a signed request. */
export type PostEndpoint = Exclude<Endpoint, 'directory' | 'terms' | 'newNonce' | 'renewalInfo'>

/** What each endpoint does, in two steps so that a fault can come in between. */
export const ENDPOINT: { readonly [E in PostEndpoint]: (ca: Authority, call: Call) => Prepared } = {
  newAccount: (ca, call) => ({ hosts: [], run: () => newAccount(ca, call) }),

  account: (ca, call) => ({ hosts: [], run: () => updateAccount(ca, call) }),

  orders(ca, call) {
    requireOwner(call.id, call)
    requireRead(call)
    const own = [...ca.resources.orders.values()].filter(({ account }) => account === call.account)
    return { hosts: [], run: () => ok({ orders: own.map(({ id }) => ca.urls.of('order', id)) }) }
  },

  newOrder(ca, { account, payload = {} }) {
    const hosts = parseIdentifiers(payload)
    if ('notBefore' in payload || 'notAfter' in payload) {
      throw new Problem('malformed', 'notBefore and notAfter are not supported')
    }
    const wishes = { profile: text(payload, 'profile'), replaces: text(payload, 'replaces') }
    checkProfile(ca, wishes.profile)
    const run = () => {
      if (ca.settings.renewalInfo) checkReplaces(ca, account!, hosts, wishes.replaces)
      const order = ca.resources.addOrder(account!, hosts, ca.settings.challengeTypes, wishes)
      return ok(ca.urls.order(order), { location: ca.urls.of('order', order.id) }, 201)
    }
    return { hosts, run }
  },

  order(ca, call) {
    const order = findOrder(ca, call)
    requireRead(call)
    return { hosts: order.hosts, run: () => orderReply(ca, order) }
  },

  finalize(ca, call) {
    const order = findOrder(ca, call)
    const run = async () => {
      const publicKey = await checkCsr(call.payload?.csr, order.hosts, order.account.key.key)
      // Not before the CSR has been checked: another finalize may have come first meanwhile.
      if (order.status !== 'ready') throw new Problem('orderNotReady', `The order is ${order.status}`)
      const issuance = issue(ca, order, publicKey)
      if (ca.settings.issuanceDelayMs === 0) await issuance
      return orderReply(ca, order)
    }
    return { hosts: order.hosts, run }
  },

  authz(ca, call) {
    const authorization = find(ca.resources.authorizations, call, ({ order }) => order)
    ca.resources.expire(authorization.order)
    const run = () => {
      if (call.payload?.status === 'deactivated') ca.resources.deactivate(authorization)
      else requireRead(call)
      return authorizationReply(ca, authorization)
    }
    return { hosts: [authorization.host], run }
  },

  challenge(ca, call) {
    const challenge = find(ca.resources.challenges, call, ({ authorization }) => authorization.order)
    const { authorization } = challenge
    ca.resources.expire(authorization.order)
    const run = (fault: Fault | undefined) => {
      if (call.payload && challenge.status === 'pending') {
        if (authorization.status !== 'pending') {
          throw new Problem('malformed', `The authorization is ${authorization.status}`)
        }
        void validate(ca, challenge, fault)
      }
      return challengeReply(ca, challenge)
    }
    return { hosts: [authorization.host], run }
  },

  certificate(ca, call) {
    const order = findOrder(ca, call)
    requireRead(call)
    const run = () => {
      if (order.certificate === undefined) throw notFound()
      return { status: 200, contentType: 'application/pem-certificate-chain', body: order.certificate }
    }
    return { hosts: order.hosts, run }
  },
}

function checkProfile({ settings: { profiles } }: Authority, profile: string | undefined): void {
  if (profile === undefined || !profiles || Object.hasOwn(profiles, profile)) return
  throw new Problem('invalidProfile', `There is no profile ${profile}`)
}

function orderReply(ca: Authority, order: Order): Reply {
  const headers = {
    location: ca.urls.of('order', order.id),
    ...retryAfter(ca, order.status === 'processing'),
  }
  return ok(ca.urls.order(order), headers)
}

function authorizationReply(ca: Authority, authorization: Authorization): Reply {
  return ok(ca.urls.authorization(authorization), retryAfter(ca, authorization.status === 'pending'))
}

function challengeReply(ca: Authority, challenge: Challenge): Reply {
  const headers = {
    link: `<${ca.urls.of('authz', challenge.authorization.id)}>;rel="up"`,
    ...retryAfter(ca, challenge.status === 'processing'),
  }
  return ok(ca.urls.challenge(challenge), headers)
}

function retryAfter({ settings }: Authority, busy: boolean): Record<string, string> {
  return busy && settings.retryAfter !== undefined ? { 'retry-after': String(settings.retryAfter) } : {}
}

function findOrder(ca: Authority, call: Call): Order {
  const order = find(ca.resources.orders, call, (found) => found)
  ca.resources.expire(order)
  return order
}

function find<T>(resources: ReadonlyMap<string, T>, call: Call, orderOf: (resource: T) => Order): T {
  const resource = resources.get(call.id)
  if (resource === undefined) throw notFound()
  requireOwner(orderOf(resource).account.id, call)
  return resource
}

function text(payload: Json, member: string): string | undefined {
  const value = payload[member]
  if (value === undefined || typeof value === 'string') return value
  throw new Problem('malformed', `${member} must be a string`)
}

function notFound(): Problem {
  return new Problem('malformed', 'There is no such resource', { status: 404 })
}
