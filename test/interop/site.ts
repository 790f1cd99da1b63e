import { once } from 'node:events'
import { AzureBlobCertCache, CertManager, type CertManagerOptions } from '../../src/index.js'
import { TestCa, type TestCaOptions } from '../../src/testing/index.js'
import { freshContainer } from '../support/azure.js'
import { openGate } from '../support/gate.js'
import { startMachine } from '../support/tls.js'
import { Go, type GoServer } from './go.js'

/** TLS options of a client that accepts only an RSA certificate. */
export const onlyRsa = { sigalgs: 'rsa_pss_rsae_sha256:RSA+SHA256' }

/** Opens a container and a CA, and starts Go and Node servers on them; all close with the site. */
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

    /** The names of the blobs, sorted, except for the write probe of Node servers, which Go ignores. */
    async names(): Promise<string[]> {
      const found: string[] = []
      for await (const { name } of client.listBlobsFlat()) found.push(name)
      return found.filter((name) => name !== 'acme_probe').sort()
    },

    /** Starts a Node server with exactly autocert's keys, and records the events of its manager. */
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
        /** Resolves when the manager emits this event next. */
        reported: (event: 'adopted' | 'renewed') => once(manager, event),
      }
    },

    /** Starts a Go server. */
    async goServer(serveOptions?: Parameters<Go['serve']>[0]): Promise<GoServer> {
      const server = await go.serve(serveOptions)
      closers.push(server.close)
      return server
    },

    /** Makes the CA validate only at this server. */
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
