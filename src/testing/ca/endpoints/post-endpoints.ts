import type { Authority } from '../authority/authority.js'
import { issue, validate } from '../authority/operations.js'
import { checkCsr } from '../certificates/csr.js'
import { parseIdentifiers } from '../messages/identifiers.js'
import type { Json } from '../messages/jws.js'
import { Problem } from '../messages/problem.js'
import type { Fault } from '../resources/faults.js'
import { authorizationJson, challengeJson, orderJson } from '../resources/json.js'
import type { Authorization, Challenge, Order } from '../resources/resources.js'
import type { Endpoint } from '../resources/urls.js'
import { newAccount, updateAccount } from './accounts.js'
import { checkReplaces } from './renewal-info.js'
import {
  ok,
  type PreparedRequest,
  type Reply,
  requireOwner,
  requireRead,
  type SignedRequest,
} from './request.js'

/** An endpoint that requires a signed request. */
export type PostEndpoint = Exclude<Endpoint, 'directory' | 'terms' | 'newNonce' | 'renewalInfo'>

/** Prepares a request at each endpoint. A fault can take the place of `run`, which applies the effects. */
export const postEndpoints: {
  readonly [E in PostEndpoint]: (ca: Authority, request: SignedRequest) => PreparedRequest
} = {
  newAccount: (ca, request) => ({ hosts: [], run: () => newAccount(ca, request) }),

  account: (ca, request) => ({ hosts: [], run: () => updateAccount(ca, request) }),

  orders(ca, request) {
    requireOwner(request.id, request)
    requireRead(request)
    const orders = [...ca.resources.orders.values()].filter(({ account }) => account === request.account)
    return { hosts: [], run: () => ok({ orders: orders.map(({ id }) => ca.urls.of('order', id)) }) }
  },

  newOrder(ca, { account, payload = {} }) {
    const hosts = parseIdentifiers(payload)
    if ('notBefore' in payload || 'notAfter' in payload) {
      throw new Problem('malformed', 'notBefore and notAfter are not supported')
    }
    const options = {
      profile: optionalString(payload, 'profile'),
      replaces: optionalString(payload, 'replaces'),
    }
    checkProfile(ca, options.profile)
    const run = () => {
      if (ca.settings.renewalInfo) checkReplaces(ca, account!, hosts, options.replaces)
      const order = ca.resources.addOrder(account!, hosts, ca.settings.challengeTypes, options)
      return ok(orderJson(ca.urls, order), { location: ca.urls.of('order', order.id) }, 201)
    }
    return { hosts, run }
  },

  order(ca, request) {
    const order = findOrder(ca, request)
    requireRead(request)
    return { hosts: order.hosts, run: () => orderReply(ca, order) }
  },

  finalize(ca, request) {
    const order = findOrder(ca, request)
    const run = async () => {
      const publicKey = await checkCsr(request.payload?.csr, order.hosts, order.account.key.key)
      // Checked after the await: a concurrent finalize may have come first.
      if (order.status !== 'ready') throw new Problem('orderNotReady', `The order is ${order.status}`)
      const issuance = issue(ca, order, publicKey)
      if (ca.settings.issuanceDelayMs === 0) await issuance
      return orderReply(ca, order)
    }
    return { hosts: order.hosts, run }
  },

  authz(ca, request) {
    const authorization = findOwned(ca.resources.authorizations, request, ({ order }) => order)
    ca.resources.expireOrder(authorization.order)
    const run = () => {
      if (request.payload?.status === 'deactivated') ca.resources.deactivateAuthorization(authorization)
      else requireRead(request)
      return authorizationReply(ca, authorization)
    }
    return { hosts: [authorization.host], run }
  },

  challenge(ca, request) {
    const challenge = findOwned(ca.resources.challenges, request, ({ authorization }) => authorization.order)
    const { authorization } = challenge
    ca.resources.expireOrder(authorization.order)
    const run = (fault: Fault | undefined) => {
      if (request.payload && challenge.status === 'pending') {
        if (authorization.status !== 'pending') {
          throw new Problem('malformed', `The authorization is ${authorization.status}`)
        }
        void validate(ca, challenge, fault)
      }
      return challengeReply(ca, challenge)
    }
    return { hosts: [authorization.host], run }
  },

  certificate(ca, request) {
    const order = findOrder(ca, request)
    requireRead(request)
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
    ...retryAfterHeader(ca, order.status === 'processing'),
  }
  return ok(orderJson(ca.urls, order), headers)
}

function authorizationReply(ca: Authority, authorization: Authorization): Reply {
  return ok(
    authorizationJson(ca.urls, authorization),
    retryAfterHeader(ca, authorization.status === 'pending'),
  )
}

function challengeReply(ca: Authority, challenge: Challenge): Reply {
  const headers = {
    link: `<${ca.urls.of('authz', challenge.authorization.id)}>;rel="up"`,
    ...retryAfterHeader(ca, challenge.status === 'processing'),
  }
  return ok(challengeJson(ca.urls, challenge), headers)
}

function retryAfterHeader({ settings }: Authority, isPending: boolean): Record<string, string> {
  return isPending && settings.retryAfter !== undefined ? { 'retry-after': String(settings.retryAfter) } : {}
}

function findOrder(ca: Authority, request: SignedRequest): Order {
  const order = findOwned(ca.resources.orders, request, (resource) => resource)
  ca.resources.expireOrder(order)
  return order
}

function findOwned<T>(
  resources: ReadonlyMap<string, T>,
  request: SignedRequest,
  orderOf: (resource: T) => Order,
): T {
  const resource = resources.get(request.id)
  if (resource === undefined) throw notFound()
  requireOwner(orderOf(resource).account.id, request)
  return resource
}

function optionalString(payload: Json, member: string): string | undefined {
  const value = payload[member]
  if (value === undefined || typeof value === 'string') return value
  throw new Problem('malformed', `${member} must be a string`)
}

function notFound(): Problem {
  return new Problem('malformed', 'There is no such resource', { status: 404 })
}
