import type { ChallengeType } from '../acme/challenges.js'
import type { CertCache } from '../cache/cert-cache.js'
import { monitorCertCache } from '../cache/monitored-cert-cache.js'
import type { LiveCertificate } from '../certificates/secure-contexts.js'
import { ChallengeAnswers } from '../issuance/challenge-answers.js'
import { FailureRecords } from '../issuance/failure-records.js'
import type { CertificateAuthority, Issuer } from '../issuance/issuer.js'
import type { RenewalInfoRecords } from '../issuance/renewal-info-records.js'
import { CertificateService } from './certificate-service.js'
import type { Report } from './events.js'
import { PolicyGate } from './host-policy.js'
import type { ManagerSettings } from './options.js'
import { RenewalScheduler } from './renewal-scheduler.js'

export interface ManagerParts {
  readonly policy: PolicyGate
  readonly answers: ChallengeAnswers
  readonly certificates: CertificateService
  readonly renewals: RenewalScheduler
  /** After `closing` has been aborted: waits for what can't be given up, and lets go of connections. */
  close(): Promise<void>
}

interface Hooks {
  /** Aborts when the manager is closed. */
  readonly closing: AbortSignal
  readonly report: Report
  /** The challenges that this process has handlers for, the preferred one first. */
  readonly challengeTypes: () => readonly ChallengeType[]
  /** A certificate became servable that was not in memory before. */
  readonly onLive: (live: LiveCertificate) => void
}

/** Puts together what stands behind a manager; most processes of a fleet never need all of it. */
export function composeManager(
  settings: ManagerSettings,
  { closing, report, challengeTypes, onLive }: Hooks,
  makeCa: typeof loadAccount = loadAccount,
): ManagerParts {
  const { layout, clock, keyType, max, hostPolicy, renewBeforeMs } = settings
  const store = monitorCertCache(settings.cache, clock, (failure) => report('storeFailed', failure))
  const policy = new PolicyGate(hostPolicy, clock, closing)
  const answers = new ChallengeAnswers(store, layout, clock, (answered) =>
    report('challengeAnswered', answered),
  )
  const failures = new FailureRecords(store, layout, clock)
  const onFailed = (failure: { host: string; error: Error }) => report('issuanceFailed', failure)
  let issuance: Promise<Issuer> | undefined
  const loadIssuer = () => {
    issuance ??= (async () => {
      const [{ Issuer }, ca] = await Promise.all([import('../issuance/issuer.js'), makeCa(settings, store)])
      return new Issuer({ answers, failures, keyType, clock, closing, challengeTypes, onFailed }, ca)
    })().catch((thrown: unknown) => {
      issuance = undefined // for want of memory or file descriptors: there may be some next time
      throw thrown
    })
    return issuance
  }
  let suggestions: Promise<RenewalInfoRecords> | undefined
  const loadRenewalInfoRecords = () => {
    suggestions ??= import('../issuance/renewal-info-records.js').then(({ RenewalInfoRecords }) => {
      const ask = async (certificate: Uint8Array) => (await loadIssuer()).suggestion(certificate)
      return new RenewalInfoRecords({ store, layout, clock, closing, ask })
    })
    return suggestions
  }
  const certificates = new CertificateService({
    store,
    layout,
    policy,
    failures,
    issue: async (...order) => (await loadIssuer()).issue(...order),
    max,
    renewBeforeMs,
    clock,
    closing,
    report,
    onLive: (live) => {
      renewals.add(live)
      onLive(live)
    },
    onWake: (live) => renewals.wake(live),
  })
  const renewals = new RenewalScheduler({
    certificates,
    suggestion: async (live) => (await loadRenewalInfoRecords()).window(live),
    clock,
    closing,
  })
  return {
    policy,
    answers,
    certificates,
    renewals,
    async close() {
      await (await issuance?.catch(() => undefined))?.close() // if it could not be loaded, nothing was ordered
      await certificates.close()
    },
  }
}

async function loadAccount(
  { acme, layout, clock }: ManagerSettings,
  store: CertCache,
): Promise<CertificateAuthority> {
  const [{ AcmeAccount }, { readOrMakeAccountKey }] = await Promise.all([
    import('../acme/account.js'),
    import('../issuance/account-key.js'),
  ])
  return new AcmeAccount(acme, (signal) => readOrMakeAccountKey(store, layout, clock, signal), clock)
}
