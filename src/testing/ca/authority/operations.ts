import { setTimeout as sleep } from 'node:timers/promises'
import type * as x509 from '@peculiar/x509'
import { type Fault, problemOf } from '../resources/faults.js'
import type { Challenge, Order } from '../resources/resources.js'
import type { Authority } from './authority.js'
import { validators } from './validators.js'

/**
 * Validates a challenge and records the outcome.
 * @param fault the fault that matched the request, whose `invalid` fails the validation
 */
export async function validate(ca: Authority, challenge: Challenge, fault: Fault | undefined): Promise<void> {
  const { settings, resources, tasks } = ca
  challenge.status = 'processing'
  ca.validations += 1
  await tasks.run(
    async () => {
      if (settings.validationDelayMs > 0) await wait(settings.validationDelayMs, ca)
      if (fault?.invalid)
        return resources.failChallenge(challenge, problemOf(fault), fault.authorizationStaysPending)
      const { type, token, authorization } = challenge
      await validators[type]({
        host: authorization.host,
        token,
        keyAuthorization: `${token}.${authorization.order.account.key.thumbprint}`,
        port: type === 'http-01' ? settings.httpPort : settings.tlsPort,
        signal: AbortSignal.any([tasks.signal, AbortSignal.timeout(settings.validationTimeoutMs)]),
      })
      resources.passChallenge(challenge)
    },
    (problem) => resources.failChallenge(challenge, problem),
  )
}

/** Issues the certificate of an order, whose status goes to `processing` and then to `valid`. */
export async function issue(ca: Authority, order: Order, publicKey: x509.PublicKey): Promise<void> {
  const { settings, resources, tasks, issuer, issued } = ca
  order.status = 'processing'
  await tasks.run(
    async () => {
      if (settings.issuanceDelayMs > 0) await wait(settings.issuanceDelayMs, ca)
      const leaf = await issuer.sign(order.hosts, publicKey, ca.now(), settings.lifetimeMs)
      issued.push({ hosts: order.hosts, ...leaf })
      order.certificate = leaf.pem
      order.leaf = leaf
      order.status = 'valid'
    },
    (problem) => resources.invalidateOrder(order, problem),
  )
}

function wait(ms: number, { tasks }: Authority): Promise<void> {
  return sleep(ms, undefined, { signal: tasks.signal })
}
