import { once } from 'node:events'
import { AzureBlobCertCache, CertManager, type CertManagerOptions } from '../../src/index.js'
import { TestCa, type TestCaOptions } from '../../src/testing/index.js'
import { freshContainer } from '../support/azure.js'
import { openGate } from '../support/gate.js'
import { startMachine } from '../support/tls.js'
import { Go, type GoServer } from './go.js'

/** What a client is to know so that it accepts nothing but an RSA certificate. */
export const onlyRsa = { sigalgs: 'rsa_pss_rsae_sha256:RSA+SHA256' }

/** A container, a CA, and servers of both kinds on them; all end with the site. */
export async function openSite(options: TestCaOptions = {}) {
  const { client, connect } = await freshContainer()
  const gates = { http: await openGate(), tls: await openGate() }
  const ca = await TestCa.start({ httpPort: gates.http.port, tlsPort: gates.tls.port, ...options })
  const cache = await AzureBlobCertCache.connect(connect)
  const go = new Go(connect, ca)
  const closers: (() => Promise<unknown>)[] = []

  return {
    ca,
    cache,
    go,

    /** The names of the blobs, sorted. */
    async names(): Promise<string[]> {
      const found: string[] = []
      for await (const { name } of client.listBlobsFlat()) found.push(name)
      return found.sort()
    },

    /** A Node server with what its manager reported; its keys are exactly autocert's. */
    async node(managerOptions: Partial<CertManagerOptions> & { http?: boolean } = {}) {
      const { http = false, ...rest } = managerOptions
      const { directoryUrl, endpointCertificate } = ca
      const manager = new CertManager({
        cache,
        hostPolicy: (host) => host.endsWith('.example'),
        acme: { termsOfServiceAgreed: true, directoryUrl, ca: endpointCertificate, keyPrefix: '' },
        ...rest,
      })
      const started = await startMachine(manager, { http })
      closers.push(started.close)
      const events: string[] = []
      for (const name of ['loaded', 'adopted', 'issued', 'renewed', 'issuanceFailed', 'invalid'] as const) {
        manager.on(name, () => events.push(name))
      }
      manager.on('challengeAnswered', ({ type, from }) => events.push(`${type} from ${from}`))
      return {
        ...started,
        httpPort: started.httpPort ?? 0,
        events,
        /** Resolves when it is reported the next time. */
        reported: (event: 'adopted' | 'renewed') => once(manager, event),
      }
    },

    /** A Go server. */
    async goServer(serveOptions?: Parameters<Go['serve']>[0]): Promise<GoServer> {
      const server = await go.serve(serveOptions)
      closers.push(server.close)
      return server
    },

    /** From now on the CA validates at this server alone. */
    validateAt({ tlsPort, httpPort }: { tlsPort: number; httpPort: number }) {
      gates.tls.target = tlsPort
      gates.http.target = httpPort
    },

    async [Symbol.asyncDispose]() {
      for (const close of closers.reverse()) await close()
      await ca.close()
      await gates.http.close()
      await gates.tls.close()
    },
  }
}
