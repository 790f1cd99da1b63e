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
  /** To be called after `closing` has aborted: waits for orders that cannot be cancelled, and closes connections. */
  close(): Promise<void>
}

interface Hooks {
  /** Aborts when the manager is closed. */
  readonly closing: AbortSignal
  readonly report: Report
  /** Returns the challenge types that this process can answer, in order of preference. */
  readonly challengeTypes: () => readonly ChallengeType[]
  /** Called just before a certificate enters memory that was not in memory before. */
  readonly onNewCertificate: (live: LiveCertificate) => void
}

/** Creates and connects the parts of a manager. Loads on demand what most processes of a fleet never need. */
export function composeManager(
  settings: ManagerSettings,
  { closing, report, challengeTypes, onNewCertificate }: Hooks,
  createCa: typeof createAccount = createAccount,
): ManagerParts {
  const { layout, clock, keyType, max, hostPolicy, renewBeforeMs } = settings
  const store = monitorCertCache(settings.cache, clock, (failure) => report('storeFailed', failure))
  const policy = new PolicyGate(hostPolicy, clock, closing)
  const answers = new ChallengeAnswers(store, layout, clock, (answered) =>
    report('challengeAnswered', answered),
  )
  const failures = new FailureRecords(store, layout, clock)
  const onFailed = (failure: { host: string; error: Error }) => report('issuanceFailed', failure)
  let issuer: Promise<Issuer> | undefined
  const loadIssuer = () => {
    issuer ??= (async () => {
      const [{ Issuer }, ca] = await Promise.all([import('../issuance/issuer.js'), createCa(settings, store)])
      return new Issuer({ answers, failures, keyType, clock, closing, challengeTypes, onFailed }, ca)
    })().catch((thrown: unknown) => {
      issuer = undefined // a lack of memory or file descriptors may be over at the next attempt
      throw thrown
    })
    return issuer
  }
  let renewalInfoRecords: Promise<RenewalInfoRecords> | undefined
  const loadRenewalInfoRecords = () => {
    renewalInfoRecords ??= import('../issuance/renewal-info-records.js').then(({ RenewalInfoRecords }) => {
      const fetchInfo = async (certificate: Uint8Array) => (await loadIssuer()).renewalInfo(certificate)
      return new RenewalInfoRecords({ store, layout, clock, closing, fetchInfo })
    })
    return renewalInfoRecords
  }
  const certificates = new CertificateService({
    store,
    layout,
    policy,
    failures,
    issue: async (...args) => (await loadIssuer()).issue(...args),
    max,
    renewBeforeMs,
    clock,
    closing,
    report,
    onNewCertificate: (live) => {
      renewals.scheduleCheck(live)
      onNewCertificate(live)
    },
    onCheckDue: (live) => renewals.startCheck(live),
  })
  const renewals = new RenewalScheduler({
    certificates,
    renewalWindow: async (live) => (await loadRenewalInfoRecords()).renewalWindow(live),
    clock,
    closing,
  })
  return {
    policy,
    answers,
    certificates,
    renewals,
    async close() {
      await (await issuer?.catch(() => undefined))?.close() // if the issuer failed to load, nothing was ordered
      await certificates.close()
    },
  }
}

async function createAccount(
  { acme, layout, clock }: ManagerSettings,
  store: CertCache,
): Promise<CertificateAuthority> {
  const [{ AcmeAccount }, { readOrCreateAccountKey }] = await Promise.all([
    import('../acme/account.js'),
    import('../issuance/account-key.js'),
  ])
  return new AcmeAccount(acme, (signal) => readOrCreateAccountKey(store, layout, clock, signal), clock)
}
