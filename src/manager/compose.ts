import type { ChallengeType } from '../acme/challenges.js'
import type { CertCache } from '../cache/cert-cache.js'
import { guardStore } from '../cache/monitored-cert-cache.js'
import type { LiveCertificate } from '../certificates/secure-contexts.js'
import { ChallengeAnswers } from '../issuance/challenge-answers.js'
import { FailureRecords } from '../issuance/failure-records.js'
import type { CertificateAuthority, Issuance } from '../issuance/issuer.js'
import type { Suggestions } from '../issuance/renewal-info-records.js'
import { Certificates } from './certificate-service.js'
import type { Report } from './events.js'
import { PolicyGate } from './host-policy.js'
import type { ManagerSettings } from './options.js'
import { Renewals } from './renewal-scheduler.js'

export interface ManagerParts {
  readonly policy: PolicyGate
  readonly answers: ChallengeAnswers
  readonly certificates: Certificates
  readonly renewals: Renewals
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
export function assemble(
  settings: ManagerSettings,
  { closing, report, challengeTypes, onLive }: Hooks,
  makeCa: typeof loadAccount = loadAccount,
): ManagerParts {
  const { layout, clock, keyType, max, hostPolicy, renewBeforeMs } = settings
  const store = guardStore(settings.cache, clock, (failure) => report('storeFailed', failure))
  const policy = new PolicyGate(hostPolicy, clock, closing)
  const answers = new ChallengeAnswers(store, layout, clock, (answered) =>
    report('challengeAnswered', answered),
  )
  const failures = new FailureRecords(store, layout, clock)
  const onFailed = (failure: { host: string; error: Error }) => report('issuanceFailed', failure)
  let issuance: Promise<Issuance> | undefined
  const loadIssuance = () => {
    issuance ??= (async () => {
      const [{ Issuance }, ca] = await Promise.all([import('../issuance/issuer.js'), makeCa(settings, store)])
      return new Issuance({ answers, failures, keyType, clock, closing, challengeTypes, onFailed }, ca)
    })().catch((thrown: unknown) => {
      issuance = undefined // for want of memory or file descriptors: there may be some next time
      throw thrown
    })
    return issuance
  }
  let suggestions: Promise<Suggestions> | undefined
  const loadSuggestions = () => {
    suggestions ??= import('../issuance/renewal-info-records.js').then(({ Suggestions }) => {
      const ask = async (certificate: Uint8Array) => (await loadIssuance()).suggestion(certificate)
      return new Suggestions({ store, layout, clock, closing, ask })
    })
    return suggestions
  }
  const certificates = new Certificates({
    store,
    layout,
    policy,
    failures,
    issue: async (...order) => (await loadIssuance()).issue(...order),
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
  const renewals = new Renewals({
    certificates,
    suggestion: async (live) => (await loadSuggestions()).window(live),
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
