import { AcmeAccount } from '../../acme/account.js'
import { AcmeHttp } from '../../acme/http/acme-http.js'
import type { CertCache } from '../../cache/cert-cache.js'
import { entryKey } from '../../certificates/storage-layout.js'
import { systemClock } from '../../util/clock.js'
import { withDeadline } from '../../util/deadline.js'
import { DeadlineError, IssuanceError } from '../../util/errors.js'
import { toSentence } from '../console/error-message.js'
import { isEncrypted } from '../container/encryption.js'
import { type Check, type Finding, failed, ok, warning } from './finding.js'

const requestMs = 30_000

interface CaSettings {
  /** The ACME directory. */
  readonly url: string
  /** The CA, as the prefix of its keys. */
  readonly ca: string
  /** PEM certificates to trust when connecting to a private CA. */
  readonly trustedCertificates: Buffer | undefined
  readonly store: CertCache
}

/**
 * Checks that the CA responds and knows the stored account. Resolves with the CA's names in CAA records
 * (`caaIdentities`, RFC 8555 section 7.1.1), an empty list if it publishes none, or `undefined` if it does not respond.
 */
export async function checkCa(check: Check, settings: CaSettings): Promise<readonly string[] | undefined> {
  let identities: readonly string[] | undefined
  const finding = await check('CA', async () => {
    const started = performance.now()
    identities = await readCaaIdentities(settings)
    return ok(`read ${settings.url} (${Math.round(performance.now() - started)} ms)`)
  })
  if (finding.status !== 'failed') await check('account', () => checkAccount(settings))
  return identities
}

const withTimeout = <T>(operation: (signal: AbortSignal) => Promise<T>) =>
  withDeadline(operation, {
    ms: requestMs,
    clock: systemClock,
    error: () => new DeadlineError(`the CA did not respond within ${requestMs / 1_000} s. Run doctor again.`),
  })

async function readCaaIdentities({ url, trustedCertificates }: CaSettings): Promise<readonly string[]> {
  const http = new AcmeHttp({ directoryUrl: url, clock: systemClock, ca: trustedCertificates })
  try {
    const { data } = await withTimeout((signal) => http.get(url, signal))
    const { meta } = data as { meta?: { caaIdentities?: unknown } }
    const identities = meta?.caaIdentities
    return Array.isArray(identities) ? identities.filter((name) => typeof name === 'string') : []
  } catch (thrown) {
    if (!(thrown instanceof IssuanceError)) throw thrown
    throw new Error(
      `${toSentence(thrown.message)} Check --directory, --ca for a private CA, and that the firewall allows outbound connections.`,
    )
  } finally {
    http.close()
  }
}

async function checkAccount({ url, ca, trustedCertificates, store }: CaSettings): Promise<Finding> {
  const read = async (kind: 'account key' | 'legacy account key') => {
    const key = entryKey({ kind, ca })
    const data = await store.get(key)
    return data && { data, key }
  }
  const stored = (await read('account key')) ?? (await read('legacy account key'))
  if (!stored) return ok('none yet; the first order creates it')
  if (isEncrypted(stored.data)) return ok(`the key "${stored.key}" is encrypted; only servers can use it`)
  const accountOptions = {
    termsOfServiceAgreed: true as const,
    directoryUrl: url,
    ...(trustedCertificates && { ca: trustedCertificates }),
  }
  const account = new AcmeAccount(
    accountOptions,
    async () => Buffer.from(stored.data).toString(),
    systemClock,
  )
  try {
    return ok(`${await withTimeout((signal) => account.find(signal))} with the key "${stored.key}"`)
  } catch (thrown) {
    if (!(thrown instanceof IssuanceError)) {
      if (thrown instanceof DeadlineError) throw thrown
      return failed(
        `"${stored.key}" is not a private key in PEM. Restore it, or delete it: the next order registers a new account.`,
      )
    }
    const type = thrown.problem?.type ?? ''
    if (type.endsWith(':accountDoesNotExist')) {
      return warning(`the CA has no account for the key "${stored.key}". The next order registers one.`)
    }
    if (type.endsWith(':unauthorized')) {
      return failed(
        `the CA rejects the account with the key "${stored.key}". If it is deactivated, delete the key: the next order registers a new account.`,
      )
    }
    return failed(thrown.message)
  } finally {
    account.close()
  }
}
