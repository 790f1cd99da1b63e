import type { Authority } from '../authority/authority.js'
import { type Json, verifyBinding } from '../messages/jws.js'
import { Problem } from '../messages/problem.js'
import { accountJson } from '../resources/json.js'
import type { Account } from '../resources/resources.js'
import { ok, type Reply, requireOwner, type SignedRequest } from './request.js'

/** Creates an account, or returns the existing one of the key. RFC 8555 §7.3. */
export function newAccount(ca: Authority, { key, url, payload = {} }: SignedRequest): Reply {
  const existing = ca.resources.findAccount(key)
  if (existing) {
    if (existing.status !== 'valid') {
      throw new Problem('unauthorized', `The account of this key is ${existing.status}`)
    }
    return accountReply(ca, existing, 200)
  }
  if (payload.onlyReturnExisting === true) {
    throw new Problem('accountDoesNotExist', 'There is no account with this key')
  }
  if (payload.termsOfServiceAgreed !== true) {
    throw new Problem('userActionRequired', 'The account must agree to the terms of service', {
      members: { instance: ca.urls.of('terms') },
      headers: { link: `<${ca.urls.of('terms')}>;rel="terms-of-service"` },
    })
  }
  const contact = parseContact(payload)
  const binding = payload.externalAccountBinding
  if (ca.externalAccounts) {
    if (binding === undefined) {
      throw new Problem('externalAccountRequired', 'An account must be bound to an external one')
    }
    verifyBinding(binding, url, key, ca.externalAccounts)
  }
  return accountReply(ca, ca.resources.addAccount(key, contact, ca.externalAccounts && binding), 201)
}

/** Reads, updates or deactivates an account. RFC 8555 §7.3.2 and §7.3.6. */
export function updateAccount(ca: Authority, request: SignedRequest): Reply {
  requireOwner(request.id, request)
  const account = request.account!
  const { payload = {} } = request
  if (request.payload && payload.contact === undefined && payload.status === undefined) {
    throw new Problem('malformed', 'There is nothing to update. To read an account, send a POST-as-GET')
  }
  if (payload.contact !== undefined) account.contact = parseContact(payload)
  if (payload.status === 'deactivated') account.status = 'deactivated'
  else if (payload.status !== undefined) throw new Problem('malformed', 'The only new status is deactivated')
  return accountReply(ca, account, 200)
}

function accountReply(ca: Authority, account: Account, status: number): Reply {
  return ok(accountJson(ca.urls, account), { location: ca.urls.of('account', account.id) }, status)
}

function parseContact({ contact = [] }: Json): string[] {
  if (!Array.isArray(contact) || !contact.every((url) => typeof url === 'string')) {
    throw new Problem('malformed', 'contact must be a list of URLs')
  }
  for (const url of contact) {
    if (!url.startsWith('mailto:')) {
      throw new Problem('unsupportedContact', `${url} is not a mailto URL`)
    }
    if (!/^mailto:[^\s@,?]+@[^\s@,?]+$/.test(url)) {
      throw new Problem('invalidContact', `${url} is not a single mail address`)
    }
  }
  return contact
}
