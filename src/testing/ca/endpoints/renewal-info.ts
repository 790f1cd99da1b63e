import type { Authority } from '../authority/authority.js'
import { Problem } from '../messages/problem.js'
import type { Account, Order } from '../resources/resources.js'
import { ok, type Reply } from './call.js'

/** The answer to a GET of `renewalInfo/<certificate identifier>`. RFC 9773 §4.1. */
export function renewalInfo(ca: Authority, certificateId: string): Reply {
  if (!ca.settings.renewalInfo) throw new Problem('malformed', 'There is no renewalInfo', { status: 404 })
  ca.renewalInfos += 1
  const { leaf } = find(ca, certificateId)
  const lifetime = leaf.notAfter - leaf.notBefore
  const start = leaf.notBefore + (lifetime * 2) / 3
  const window = ca.windows.get(leaf.serialNumber) ?? { start, end: start + lifetime / 45 }
  return ok(ca.urls.renewalInfo(window), { 'retry-after': String(ca.settings.renewalRetryAfter) })
}

/** Whether a certificate may be replaced: ordered by this account, for one of these names, and not replaced yet. RFC 9773 §5. */
export function checkReplaces(
  ca: Authority,
  account: Account,
  hosts: readonly string[],
  replaces: string | undefined,
): void {
  if (replaces === undefined) return
  const former = find(ca, replaces)
  if (former.account !== account)
    throw new Problem('unauthorized', 'That is the certificate of another account')
  if (!former.hosts.some((host) => hosts.includes(host))) {
    throw new Problem('malformed', 'That certificate has none of these names')
  }
  const others = [...ca.resources.orders.values()]
  if (others.some((order) => order.replaces === replaces && order.status !== 'invalid')) {
    throw new Problem('alreadyReplaced', 'Another order replaces that certificate')
  }
}

function find(ca: Authority, certificateId: string): Order & Required<Pick<Order, 'leaf'>> {
  const [keyIdentifier = '', serialNumber = '', ...rest] = certificateId.split('.')
  const hex = (base64url: string) => Buffer.from(base64url, 'base64url').toString('hex').toUpperCase()
  const isOurs = rest.length === 0 && hex(keyIdentifier) === ca.issuer.keyIdentifier
  const order = [...ca.resources.orders.values()].find(({ leaf }) => leaf?.serialNumber === hex(serialNumber))
  if (!isOurs || !order?.leaf) {
    throw new Problem('malformed', `${certificateId} is no certificate of this CA`, { status: 404 })
  }
  return order as Order & Required<Pick<Order, 'leaf'>>
}
