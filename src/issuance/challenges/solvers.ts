import type { ChallengeType } from '../../acme/challenges.js'
import type { Solver } from '../../acme/issuer.js'
import { createTlsAlpnCertificate } from '../../acme/tls-alpn-certificate.js'
import type { Clock } from '../../util/clock.js'
import type { ChallengeAnswers } from './challenge-answers.js'

/** Returns the solver for http-01 or tls-alpn-01. Every machine of the fleet can give its answer, from the store. */
export const createSolver = (type: ChallengeType, answers: ChallengeAnswers, clock: Clock): Solver => ({
  type,
  async present({ name, token, keyAuthorization }, run) {
    const value =
      type === 'http-01'
        ? Buffer.from(keyAuthorization)
        : await createTlsAlpnCertificate(name, keyAuthorization, clock.now())
    const answer = { type, name, token, value }
    const withdraw = () => answers.withdraw(answer, { mayBeReplaced: !run.isLockHeld })
    try {
      await answers.publish(answer, run.signal)
    } catch (error) {
      await withdraw()
      throw error
    }
    return withdraw
  },
})
