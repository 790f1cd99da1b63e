import { setTimeout as sleep } from 'node:timers/promises'
import type * as x509 from '@peculiar/x509'
import type { IssuedCertificate, RenewalWindow } from '../certificates/issued.js'
import type { Issuer } from '../certificates/issuer.js'
import type { Nonces } from '../messages/nonces.js'
import { type Fault, type Faults, problemOf } from '../resources/faults.js'
import type { Urls } from '../resources/representation.js'
import type { Challenge, Order, Resources } from '../resources/resources.js'
import type { TestCaSettings } from '../resources/settings.js'
import type { Background } from './background.js'
import { VALIDATORS } from './validation.js'

/** All that the endpoints work with. */
export interface Authority {
  readonly settings: TestCaSettings
  readonly externalAccounts: Readonly<Record<string, string>> | undefined
  readonly now: () => number
  readonly urls: Urls
  readonly nonces: Nonces
  readonly faults: Faults
  readonly resources: Resources
  readonly issuer: Issuer
  readonly background: Background
  readonly issued: IssuedCertificate[]
  /** Suggested in place of the usual, by serial number. */
  readonly windows: Map<string, RenewalWindow>
  requests: number
  validations: number
  renewalInfos: number
}

/** Validates a challenge and records the outcome. `fault`: the outcome that was set beforehand. */
export async function validate(ca: Authority, challenge: Challenge, fault: Fault | undefined): Promise<void> {
  const { settings, resources, background } = ca
  challenge.status = 'processing'
  ca.validations += 1
  await background.start(
    async () => {
      if (settings.validationDelayMs > 0) await wait(settings.validationDelayMs, ca)
      if (fault?.invalid) return resources.refused(challenge, problemOf(fault))
      const { type, token, authorization } = challenge
      await VALIDATORS[type]({
        host: authorization.host,
        token,
        keyAuthorization: `${token}.${authorization.order.account.key.thumbprint}`,
        port: type === 'http-01' ? settings.httpPort : settings.tlsPort,
        signal: AbortSignal.any([background.signal, AbortSignal.timeout(settings.validationTimeoutMs)]),
      })
      resources.validated(challenge)
    },
    (error) => resources.refused(challenge, error),
  )
}

/** Issues what the order asks for: the order goes to processing, and from there to valid. */
export async function issue(ca: Authority, order: Order, publicKey: x509.PublicKey): Promise<void> {
  const { settings, resources, background, issuer, issued } = ca
  order.status = 'processing'
  await background.start(
    async () => {
      if (settings.issuanceDelayMs > 0) await wait(settings.issuanceDelayMs, ca)
      const leaf = await issuer.sign(order.hosts, publicKey, ca.now(), settings.lifetimeMs)
      issued.push({ hosts: order.hosts, ...leaf })
      order.certificate = leaf.pem
      order.leaf = leaf
      order.status = 'valid'
    },
    (error) => resources.invalidate(order, error),
  )
}

function wait(ms: number, { background }: Authority): Promise<void> {
  return sleep(ms, undefined, { signal: background.signal })
}
