import { type Host, requireHost } from '../certificates/hostname.js'
import { toError } from '../util/errors.js'
import type { Renewals } from './renewals.js'

/** Obtains the certificates of all hosts and keeps them renewed: see `CertManager.ensure`. */
export async function ensureHosts(renewals: Renewals, hosts: Iterable<string>): Promise<void> {
  if (typeof hosts === 'string' || typeof hosts?.[Symbol.iterator] !== 'function')
    throw new TypeError('ensure: hosts must be several names, as in an array')
  const names: Host[] = []
  const errors: Error[] = []
  for (const host of hosts) {
    try {
      names.push(requireHost(host))
    } catch (thrown) {
      errors.push(toError(thrown))
    }
  }
  errors.push(...(await renewals.keepRenewed(names)))
  if (errors.length === 0) return
  const messages = errors.map(({ message }) => message).join('; ')
  const subject = errors.length === 1 ? '1 host has' : `${errors.length} hosts have`
  throw new AggregateError(errors, `${subject} no certificate: ${messages}`)
}
