import type { RenewalWindow } from '../certificates/issued.js'
import type { Json } from '../messages/jws.js'
import type { Account, Authorization, Challenge, Order } from './resources.js'
import type { TestCaSettings } from './settings.js'

/** The endpoints of the CA, which are also what a fault can be set on. */
export const ENDPOINTS = [
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

/** One endpoint: a member of the directory, or a kind of resource. RFC 8555 §7.1. */
export type Endpoint = (typeof ENDPOINTS)[number]

/** The URLs of the CA: `<origin>/<endpoint>` or `<origin>/<endpoint>/<id>`. */
export class Urls {
  /** Such as `https://127.0.0.1:14000`. */
  readonly origin: string

  constructor(origin: string) {
    this.origin = origin
  }

  of(endpoint: Endpoint, id?: string): string {
    return id === undefined ? `${this.origin}/${endpoint}` : `${this.origin}/${endpoint}/${id}`
  }

  /** RFC 8555 §7.1.1. There is no revokeCert and no keyChange. */
  directory(externalAccountRequired: boolean, { renewalInfo, profiles }: TestCaSettings): Json {
    return {
      newNonce: this.of('newNonce'),
      newAccount: this.of('newAccount'),
      newOrder: this.of('newOrder'),
      ...(renewalInfo && { renewalInfo: this.of('renewalInfo') }),
      meta: {
        termsOfService: this.of('terms'),
        externalAccountRequired,
        ...(profiles && { profiles }),
      },
    }
  }

  /** RFC 9773 §4.2. */
  renewalInfo({ start, end }: RenewalWindow): Json {
    return { suggestedWindow: { start: new Date(start).toISOString(), end: new Date(end).toISOString() } }
  }

  account({ id, status, contact, binding }: Account): Json {
    return {
      status,
      contact,
      orders: this.of('orders', id),
      ...(binding !== undefined && { externalAccountBinding: binding }),
    }
  }

  order(order: Order): Json {
    return {
      status: order.status,
      expires: timestamp(order.expires),
      identifiers: order.hosts.map((value) => ({ type: 'dns', value })),
      authorizations: order.authorizations.map(({ id }) => this.of('authz', id)),
      finalize: this.of('finalize', order.id),
      ...(order.profile !== undefined && { profile: order.profile }),
      ...(order.replaces !== undefined && { replaces: order.replaces }),
      ...(order.error && { error: order.error }),
      ...(order.certificate !== undefined && { certificate: this.of('certificate', order.id) }),
    }
  }

  authorization({ status, host, order, challenges }: Authorization): Json {
    return {
      status,
      expires: timestamp(order.expires),
      identifier: { type: 'dns', value: host },
      challenges: challenges.map((challenge) => this.challenge(challenge)),
    }
  }

  challenge({ id, type, status, token, validated, error }: Challenge): Json {
    return {
      type,
      url: this.of('challenge', id),
      status,
      token,
      ...(validated !== undefined && { validated: timestamp(validated) }),
      ...(error && { error }),
    }
  }
}

/** RFC 3339, whole seconds. */
function timestamp(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`
}
