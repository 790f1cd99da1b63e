import { AcmeAccount } from '../../acme/account.js'
import { AcmeHttp } from '../../acme/http.js'
import type { CertCache } from '../../cache/cert-cache.js'
import type { StorageLayout } from '../../certificates/storage-layout.js'
import { systemClock } from '../../util/clock.js'
import { withDeadline } from '../../util/deadline.js'
import { DeadlineError, IssuanceError } from '../../util/errors.js'
import { isEncrypted } from '../container/encryption.js'
import { type Check, failed, ok, warning } from './finding.js'

const requestMs = 30_000

interface Ca {
  readonly url: string
  readonly ca: Buffer | undefined
  readonly layout: StorageLayout
  readonly store: CertCache
}

/** Resolves with what the CA is called in CAA records, if it says so; `undefined` if it does not answer. */
export async function checkCa(check: Check, ca: Ca): Promise<readonly string[] | undefined> {
  let identities: readonly string[] | undefined
  const reached = await check('CA', async () => {
    const started = performance.now()
    identities = await readDirectory(ca)
    return ok(`${ca.url} answers, ${Math.round(performance.now() - started)} ms`)
  })
  if (reached.status !== 'failed') await check('account', () => checkAccount(ca))
  return identities
}

const bounded = <T>(work: (signal: AbortSignal) => Promise<T>) =>
  withDeadline(work, {
    ms: requestMs,
    clock: systemClock,
    error: () => new DeadlineError('the CA took too long to answer: try again'),
  })

async function readDirectory({ url, ca }: Ca): Promise<readonly string[]> {
  const http = new AcmeHttp(url, systemClock, ca)
  try {
    const { data } = await bounded((signal) => http.get(url, signal))
    const { meta } = data as { meta?: { caaIdentities?: unknown } }
    const identities = meta?.caaIdentities
    return Array.isArray(identities) ? identities.filter((name) => typeof name === 'string') : []
  } catch (thrown) {
    if (!(thrown instanceof IssuanceError)) throw thrown
    throw new Error(
      `${thrown.message}; check --directory, --ca for a private CA, and whether a firewall lets this machine out`,
    )
  } finally {
    http.close()
  }
}

async function checkAccount({ url, ca, layout, store }: Ca) {
  const stored =
    (await store.get(layout.accountKey).then((data) => data && { data, key: layout.accountKey })) ??
    (await store.get(layout.legacyAccountKey).then((data) => data && { data, key: layout.legacyAccountKey }))
  if (!stored) return ok('none yet: the first order makes one')
  if (isEncrypted(stored.data)) return ok(`its key, ${stored.key}, is encrypted: only servers can use it`)
  const settings = { termsOfServiceAgreed: true as const, directoryUrl: url, ...(ca && { ca }) }
  const account = new AcmeAccount(settings, async () => Buffer.from(stored.data).toString(), systemClock)
  try {
    return ok(`${await bounded((signal) => account.find(signal))}, its key is ${stored.key}`)
  } catch (thrown) {
    if (!(thrown instanceof IssuanceError)) {
      if (thrown instanceof DeadlineError) throw thrown
      return failed(
        `${stored.key} is not a private key in PEM: restore it, or delete it to register a new account`,
      )
    }
    const type = thrown.problem?.type ?? ''
    if (type.endsWith(':accountDoesNotExist')) {
      return warning(`the CA has no account for ${stored.key}: the first order registers it`)
    }
    if (type.endsWith(':unauthorized')) {
      return failed(
        `the CA refuses the account of ${stored.key}, which may be deactivated: delete the key to register a new one`,
      )
    }
    return failed(thrown.message)
  } finally {
    account.close()
  }
}
