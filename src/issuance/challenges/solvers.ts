import type { ChallengeType } from '../../acme/challenges.js'
import type { Solver } from '../../acme/issuer.js'
import { createTlsAlpnCertificate } from '../../acme/tls-alpn-certificate.js'
import type { CertCacheLock } from '../../cache/cert-cache.js'
import { releaseQuietly } from '../../cache/once-per-fleet.js'
import type { CertId } from '../../certificates/certificate-id.js'
import type { Clock } from '../../util/clock.js'
import type { CaStore } from '../store/ca-store.js'
import type { ChallengeAnswers } from './challenge-answers.js'

interface SolverParts {
  readonly answers: ChallengeAnswers
  readonly store: Pick<CaStore, 'waitForLock'>
  readonly clock: Clock
}

/**
 * Returns the solver for http-01 or tls-alpn-01. Every machine of the fleet can give its answer, from the store.
 * @param id the certificate that is ordered, whose lock the order holds
 */
export const createSolver = (type: ChallengeType, id: CertId, parts: SolverParts): Solver => ({
  type,
  async present({ name, token, keyAuthorization }, run) {
    const { answers, store, clock } = parts
    const value =
      type === 'http-01'
        ? Buffer.from(keyAuthorization)
        : await createTlsAlpnCertificate(name, keyAuthorization, clock.now())
    const answer = { type, name, token, value }
    // Certificates of both key types share the entry of the tls-alpn-01 answer. Its lock is that of the ECDSA certificate,
    // which an order for the RSA certificate acquires second: the order of the two excludes a deadlock.
    let lock: CertCacheLock | undefined
    if (type === 'tls-alpn-01' && id.keyType === 'rsa-2048')
      lock = await store.waitForLock({ ...id, keyType: 'ecdsa-p256' }, run.signal)
    const withdraw = async () => {
      const mayBeReplaced = !run.isLockHeld || lock?.signal.aborted === true
      await answers.withdraw(answer, { mayBeReplaced })
      if (lock) await releaseQuietly(lock)
    }
    try {
      run.proceed()
      await answers.publish(answer, run.signal)
    } catch (error) {
      await withdraw()
      throw error
    }
    return withdraw
  },
})
