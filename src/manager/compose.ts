import type { Server } from 'node:tls'
import { AcmeAccount } from '../acme/account.js'
import type { ChallengeType } from '../acme/challenges.js'
import { loadDependencies } from '../acme/dependencies.js'
import type { Issuer } from '../acme/issuer.js'
import { monitorCertCache } from '../cache/monitored-cert-cache.js'
import { certName } from '../certificates/certificate-id.js'
import type { LiveCertificate } from '../certificates/live-certificate.js'
import { RenewalTimes } from '../certificates/renewal-time.js'
import { readOrCreateAccountKey } from '../issuance/account-key.js'
import { Attempts } from '../issuance/attempts.js'
import { ChallengeAnswers } from '../issuance/challenges/challenge-answers.js'
import { isClockWrong } from '../issuance/clock-check.js'
import { OrderBudget } from '../issuance/order-budget.js'
import { Orders } from '../issuance/orders.js'
import { RenewalInfoRecords } from '../issuance/renewal-info-records.js'
import { CaStore } from '../issuance/store/ca-store.js'
import { SessionTickets } from '../server/tickets/session-tickets.js'
import { ignoreFailure } from '../util/safe-call.js'
import { CertificateService } from './certificate-service.js'
import type { ManagerContext } from './events.js'
import { Handshakes } from './handshakes.js'
import { occasionOf, PolicyGate } from './host-policy.js'
import type { ManagerSettings } from './options.js'
import { Renewals } from './renewals.js'

export interface ManagerParts {
  readonly handshakes: Handshakes
  readonly certificates: CertificateService
  readonly renewals: Renewals
  /** `undefined` if servers have ticket keys of their own. */
  readonly tickets: SessionTickets | undefined
  /** Call this after `closing` has aborted. Waits for orders that cannot be cancelled, and closes connections. */
  close(): Promise<void>
}

interface Hooks extends Omit<ManagerContext, 'clock'> {
  /** The servers that were passed to `attach()`. */
  readonly attached: Iterable<Server>
  /** Returns whether the event `served` has a listener. */
  readonly isServedObserved: () => boolean
  /** Returns the challenge types that this process can answer, in order of preference. */
  readonly challengeTypes: () => readonly ChallengeType[]
  /** Called after a certificate has entered memory that was not in memory before. */
  readonly onNewCertificate: (live: LiveCertificate) => void
}

/** Creates and connects the parts of a manager. */
export function composeManager(
  settings: ManagerSettings,
  { closing, report, attached, isServedObserved, challengeTypes, onNewCertificate }: Hooks,
  createIssuer: typeof createAccount = createAccount,
): ManagerParts {
  loadDependencies()
  const { clock, ca, keyType, max } = settings
  const store = monitorCertCache(settings.cache, clock, (failure) => report('storeFailed', failure))
  const caStore = new CaStore(store, ca, clock, {
    answers: store.direct,
    clockOffsetMs: () => issuer.clockOffsetMs,
  })
  const policy = new PolicyGate(settings.hostPolicy, clock, closing, settings.isRefused)
  const answers = new ChallengeAnswers({
    store: caStore,
    clock,
    checkHost: (host, client) => policy.check(host, occasionOf('challenge', client)),
    onAnswer: (answered) => report('challengeAnswered', answered),
  })
  const onFailed = (failure: { host: string; error: Error }) => report('issuanceFailed', failure)
  const attempts = new Attempts({ store: caStore, clock, max, onFailed })
  const renewalTimes = new RenewalTimes(settings.renewBeforeMs)
  const issuer = createIssuer(settings, caStore)
  const orders = new Orders({ store: caStore, answers, attempts, clock, closing, challengeTypes }, issuer)
  const renewalInfo = new RenewalInfoRecords({ store: caStore, issuer, clock, closing })
  const certificates = new CertificateService({
    store,
    naming: (host) => ({ ca, name: certName(host), keyType }),
    policy,
    attempts,
    orders,
    renewalTimes,
    max,
    clock,
    closing,
    report,
    onNewCertificate: (live) => {
      renewals.scheduleCheck(live)
      onNewCertificate(live)
    },
    onCheckDue: (live) => renewals.startCheck(live),
  })
  const renewals = new Renewals({
    certificates,
    attempts,
    budget: new OrderBudget(clock),
    renewalTimes,
    renewalWindow: (live) => renewalInfo.renewalWindow(live),
    clock,
    closing,
  })
  const isClockRight = async () => {
    await ignoreFailure(issuer.prepare(closing), 'without the CA, the clock is taken to be right')
    return !isClockWrong(issuer.clockOffsetMs)
  }
  const tickets =
    settings.sessionTickets &&
    new SessionTickets({
      fleet: ca,
      secret: settings.sessionTickets.secret,
      store: caStore,
      isClockRight,
      servers: attached,
      clock,
      closing,
    })
  return {
    handshakes: new Handshakes({ certificates, answers, clock, closing, report, isServedObserved }),
    certificates,
    renewals,
    tickets,
    async close() {
      const ordersClosed = orders.close().finally(() => issuer.close())
      await Promise.all([ordersClosed, certificates.close(closeTimeoutMs)])
    },
  }
}

/** Time limit of `close()`. */
const closeTimeoutMs = 10_000

const createAccount = ({ acme, clock }: ManagerSettings, store: CaStore): Issuer =>
  new AcmeAccount(acme, (signal) => readOrCreateAccountKey(store, signal), clock)
