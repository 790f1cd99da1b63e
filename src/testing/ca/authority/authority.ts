import type { Issuer } from '../certificates/issuer.js'
import type { IssuedCertificate, RenewalWindow } from '../certificates/types.js'
import type { Nonces } from '../messages/nonces.js'
import type { Faults } from '../resources/faults.js'
import type { Resources } from '../resources/resources.js'
import type { TestCaSettings } from '../resources/settings.js'
import type { Urls } from '../resources/urls.js'
import type { BackgroundTasks } from './background-tasks.js'

/** The state of a running CA, which every endpoint works on. */
export interface Authority {
  readonly settings: TestCaSettings
  /** HMAC keys by key identifier; `undefined` when accounts need no external binding. */
  readonly externalAccounts: Readonly<Record<string, string>> | undefined
  readonly now: () => number
  readonly urls: Urls
  readonly nonces: Nonces
  readonly faults: Faults
  readonly resources: Resources
  readonly issuer: Issuer
  readonly tasks: BackgroundTasks
  readonly issued: IssuedCertificate[]
  /** Windows set by `TestCa.suggestRenewal`, by serial number. */
  readonly windows: Map<string, RenewalWindow>
  requests: number
  validations: number
  renewalInfos: number
}
