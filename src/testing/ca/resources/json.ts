import type { RenewalWindow } from '../certificates/types.js'
import type { Json } from '../messages/jws.js'
import type { Account, Authorization, Challenge, Order } from './resources.js'
import type { TestCaSettings } from './settings.js'
import type { Urls } from './urls.js'

/** Returns the directory, without revokeCert and keyChange. RFC 8555 §7.1.1. */
export function directoryJson(
  urls: Urls,
  externalAccountRequired: boolean,
  { renewalInfo, profiles }: TestCaSettings,
): Json {
  return {
    newNonce: urls.of('newNonce'),
    newAccount: urls.of('newAccount'),
    newOrder: urls.of('newOrder'),
    ...(renewalInfo && { renewalInfo: urls.of('renewalInfo') }),
    meta: {
      termsOfService: urls.of('terms'),
      externalAccountRequired,
      ...(profiles && { profiles }),
    },
  }
}

/** RFC 9773 §4.2. */
export function renewalInfoJson({ start, end }: RenewalWindow): Json {
  return { suggestedWindow: { start: new Date(start).toISOString(), end: new Date(end).toISOString() } }
}

/** RFC 8555 §7.1.2. */
export function accountJson(urls: Urls, { id, status, contact, binding }: Account): Json {
  return {
    status,
    contact,
    orders: urls.of('orders', id),
    ...(binding !== undefined && { externalAccountBinding: binding }),
  }
}

/** RFC 8555 §7.1.3. */
export function orderJson(urls: Urls, order: Order): Json {
  return {
    status: order.status,
    expires: timestamp(order.expires),
    identifiers: order.hosts.map((value) => ({ type: 'dns', value })),
    authorizations: order.authorizations.map(({ id }) => urls.of('authz', id)),
    finalize: urls.of('finalize', order.id),
    ...(order.profile !== undefined && { profile: order.profile }),
    ...(order.replaces !== undefined && { replaces: order.replaces }),
    ...(order.error && { error: order.error }),
    ...(order.certificate !== undefined && { certificate: urls.of('certificate', order.id) }),
  }
}

/** RFC 8555 §7.1.4. */
export function authorizationJson(urls: Urls, { status, host, order, challenges }: Authorization): Json {
  return {
    status,
    expires: timestamp(order.expires),
    identifier: { type: 'dns', value: host },
    challenges: challenges.map((challenge) => challengeJson(urls, challenge)),
  }
}

/** RFC 8555 §8. */
export function challengeJson(urls: Urls, { id, type, status, token, validated, error }: Challenge): Json {
  return {
    type,
    url: urls.of('challenge', id),
    status,
    token,
    ...(validated !== undefined && { validated: timestamp(validated) }),
    ...(error && { error }),
  }
}

/** Returns an RFC 3339 timestamp in whole seconds. */
function timestamp(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`
}
