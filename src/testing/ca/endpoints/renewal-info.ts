import type { Authority } from '../authority/authority.js'
import { Problem } from '../messages/problem.js'
import { renewalInfoJson } from '../resources/json.js'
import type { Account, Order } from '../resources/resources.js'
import { ok, type Reply } from './request.js'

type IssuedOrder = Order & Required<Pick<Order, 'leaf'>>

/** Replies to a GET of `renewalInfo/<certificate identifier>`. RFC 9773 §4.1. */
export function renewalInfo(ca: Authority, certificateId: string): Reply {
  if (!ca.settings.renewalInfo)
    throw new Problem('malformed', 'This CA does not offer renewalInfo', { status: 404 })
  ca.renewalInfos += 1
  const { leaf } = findIssuedOrder(ca, certificateId)
  const lifetime = leaf.notAfter - leaf.notBefore
  const start = leaf.notBefore + (lifetime * 2) / 3
  const window = ca.windows.get(leaf.serialNumber) ?? { start, end: start + lifetime / 45 }
  return ok(renewalInfoJson(window), { 'retry-after': String(ca.settings.renewalRetryAfter) })
}

/**
 * Checks that an order may replace a certificate: the account ordered it, it shares a name with the order, and no other
 * order replaces it. RFC 9773 §5.
 * @throws Problem unauthorized, malformed or alreadyReplaced
 */
export function checkReplaces(
  ca: Authority,
  account: Account,
  hosts: readonly string[],
  replaces: string | undefined,
): void {
  if (replaces === undefined) return
  const replacedOrder = findIssuedOrder(ca, replaces)
  if (replacedOrder.account !== account)
    throw new Problem('unauthorized', 'The replaced certificate belongs to another account')
  if (!replacedOrder.hosts.some((host) => hosts.includes(host))) {
    throw new Problem('malformed', 'The replaced certificate has none of the names of the order')
  }
  const orders = [...ca.resources.orders.values()]
  if (orders.some((order) => order.replaces === replaces && order.status !== 'invalid')) {
    throw new Problem('alreadyReplaced', 'Another order already replaces this certificate')
  }
}

function findIssuedOrder(ca: Authority, certificateId: string): IssuedOrder {
  const [keyIdentifier = '', serialNumber = '', ...rest] = certificateId.split('.')
  const hex = (base64url: string) => Buffer.from(base64url, 'base64url').toString('hex').toUpperCase()
  const isFromThisCa = rest.length === 0 && hex(keyIdentifier) === ca.issuer.keyIdentifier
  const order = [...ca.resources.orders.values()].find(({ leaf }) => leaf?.serialNumber === hex(serialNumber))
  if (!isFromThisCa || !order?.leaf) {
    throw new Problem('malformed', `${certificateId} is not a certificate of this CA`, { status: 404 })
  }
  return order as IssuedOrder
}
