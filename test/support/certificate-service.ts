import type { LiveCertificate } from '../../src/certificates/live-certificate.js'
import { RenewalTimes } from '../../src/certificates/renewal-time.js'
import { type CertCache, IssuanceError } from '../../src/index.js'
import { Attempts } from '../../src/issuance/attempts.js'
import type { OrderRequest } from '../../src/issuance/orders.js'
import { CaStore } from '../../src/issuance/store/ca-store.js'
import { CertificateService } from '../../src/manager/certificate-service.js'
import { PolicyGate } from '../../src/manager/host-policy.js'
import { certId } from './cert-id.js'
import { MemoryStore } from './memory-store.js'
import { VirtualClock } from './virtual-clock.js'

/** A service with a store, and a CA that refuses everything until `world.placeOrder` is set. */
export function openService<S extends CertCache = MemoryStore>(
  max = 1_000,
  store: S = new MemoryStore() as unknown as S,
) {
  const clock = new VirtualClock()
  const closing = new AbortController()
  const world = {
    isAllowed: true,
    orders: 0,
    error: new IssuanceError('ERR_ISSUANCE_FAILED', 'no'),
    placeOrder: async (_: OrderRequest): Promise<Uint8Array> => {
      throw world.error
    },
  }
  const events: string[] = []
  const details: object[] = []
  const entered: LiveCertificate[] = []
  const attempts = new Attempts({ store: new CaStore(store, '', clock), clock, max, onFailed: () => {} })
  const renewalTimes = new RenewalTimes(undefined)
  const service = new CertificateService({
    store,
    naming: (name) => certId(name),
    policy: new PolicyGate(() => world.isAllowed, clock, closing.signal),
    attempts,
    orders: {
      prepare: async () => {},
      async place(request) {
        world.orders += 1
        const data = await world.placeOrder(request)
        return { data, previousFailure: request.previousFailure, clockOffsetMs: undefined }
      },
    },
    renewalTimes,
    max,
    clock,
    closing: closing.signal,
    report(event, detail) {
      events.push(event)
      details.push(detail)
    },
    onNewCertificate: (live) => entered.push(live),
    onCheckDue: () => {},
  })
  return { store, clock, closing, world, events, details, entered, attempts, service }
}

/** A service on a {@link MemoryStore}. */
export type OpenService = ReturnType<typeof openService<MemoryStore>>
