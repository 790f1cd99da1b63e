import { setMaxListeners } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { createServer } from 'node:https'
import { onTestFinished } from 'vitest'
import { AcmeAccount } from '../../src/acme/account.js'
import type { CertificateRequest, Run, Solver } from '../../src/acme/issuer.js'
import type { AcmeSettings } from '../../src/acme/options.js'
import { exportKey } from '../../src/certificates/private-key.js'
import { selfSignedCertificate } from '../../src/testing/index.js'
import type { Clock } from '../../src/util/clock.js'
import { certId } from '../support/cert-id.js'
import { makeKey } from '../support/certificates.js'
import { StillClock } from '../support/still-clock.js'
import { listen } from '../support/tls.js'

export interface FakeReply {
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  /** Default: that of the resource. */
  readonly body?: unknown
  /** Send nothing. */
  readonly hang?: true
  /** Break the connection off. */
  readonly reset?: true
}

/** The resources that an order requests, in their order. */
export const resources = [
  'directory',
  'newNonce',
  'newAccount',
  'newOrder',
  'authz',
  'challenge',
  'order',
  'finalize',
  'certificate',
] as const
export type Resource = (typeof resources)[number]

export const problem = (type: string, status: number, extra: object = {}): FakeReply => ({
  status,
  body: { type: `urn:ietf:params:acme:error:${type}`, detail: `the CA says ${type}`, ...extra },
})

/** One for all tests of a file. */
let endpoint: Awaited<ReturnType<typeof selfSignedCertificate>> | undefined

/**
 * A CA with one order, that checks nothing and whose every reply a test can replace: for what no real CA would do twice
 * in the same way. The certificate is the one of its own endpoint.
 */
export class FakeCa {
  /** The requests, as the name of the resource; `deactivate` for that of an authorization. */
  readonly requests: string[] = []
  /** Replies to the next requests, in order. */
  readonly next: Partial<Record<Resource, FakeReply[]>> = {}
  /** Replies to all requests that `next` does not answer. */
  readonly always: Partial<Record<Resource, FakeReply>> = {}
  /** Called with each request. */
  onRequest: (resource: string) => void = () => {}
  /** The start of every URL in a body or header. `''` makes them relative. */
  base = ''
  origin = ''
  certificate = ''
  status = { authz: 'pending', order: 'pending' }

  static async start(): Promise<FakeCa> {
    const fake = new FakeCa()
    endpoint ??= await selfSignedCertificate()
    fake.certificate = endpoint.certificate
    const server = createServer(
      { cert: endpoint.certificate, key: endpoint.privateKey },
      async (req, res) => {
        const resource = (req.url ?? '').slice(1) as Resource
        const payload = await readPayload(req)
        const isDeactivation = payload?.status === 'deactivated'
        fake.requests.push(isDeactivation ? 'deactivate' : resource)
        const { hang, reset, status, headers, body } =
          fake.next[resource]?.shift() ?? fake.always[resource] ?? ({} as FakeReply)
        const usual = fake.#reply(resource, isDeactivation, (status ?? 200) < 400)
        fake.onRequest(fake.requests.at(-1) as string)
        if (reset) return void res.socket?.destroy()
        if (hang) return
        const content = body ?? usual.body
        res.writeHead(status ?? usual.status, {
          'replay-nonce': `n${fake.requests.length}`,
          'content-type': typeof content === 'string' ? 'text/plain' : 'application/json',
          ...usual.headers,
          ...headers,
        })
        res.end(typeof content === 'string' ? content : JSON.stringify(content))
      },
    )
    fake.origin = fake.base = `https://127.0.0.1:${await listen(server)}`
    onTestFinished(() => {
      server.closeAllConnections()
      server.close()
    })
    return fake
  }

  /** An account at the CA, whose key is `key()`. It closes with the test. */
  account(settings: Partial<AcmeSettings> = {}, clock: Clock = new StillClock(), key = keyReader()) {
    const account = new AcmeAccount(
      {
        termsOfServiceAgreed: true,
        directoryUrl: `${this.origin}/directory`,
        ca: this.certificate,
        ...settings,
      },
      key,
      clock,
    )
    onTestFinished(() => account.close())
    return account
  }

  count(resource: string): number {
    return this.requests.filter((request) => request === resource).length
  }

  /** @param hasEffect whether the request is carried out */
  #reply(resource: Resource, isDeactivation: boolean, hasEffect: boolean) {
    const { base, status } = this
    if (hasEffect && resource === 'newOrder') Object.assign(status, { authz: 'pending', order: 'pending' })
    if (hasEffect && resource === 'challenge') status.authz = 'valid'
    if (hasEffect && resource === 'challenge') status.order = 'ready'
    if (hasEffect && resource === 'finalize') status.order = 'valid'
    if (hasEffect && isDeactivation) status.authz = 'deactivated'
    const order = {
      status: status.order,
      authorizations: [`${base}/authz`],
      finalize: `${base}/finalize`,
      ...(status.order === 'valid' && { certificate: `${base}/certificate` }),
    }
    const challenge = { type: 'http-01', url: `${base}/challenge`, token: 'token', status: status.authz }
    const bodies: Record<Resource, unknown> = {
      directory: Object.fromEntries(
        ['newNonce', 'newAccount', 'newOrder'].map((name) => [name, `${base}/${name}`]),
      ),
      newNonce: '',
      newAccount: { status: 'valid' },
      newOrder: order,
      authz: { status: status.authz, challenges: [challenge] },
      challenge,
      order,
      finalize: order,
      certificate: this.certificate,
    }
    const locations: Partial<Record<Resource, string>> = { newAccount: '/account', newOrder: '/order' }
    const location = locations[resource]
    return {
      status: location ? 201 : 200,
      headers: location ? { location: `${base}${location}` } : {},
      body: bodies[resource] ?? {},
    }
  }
}

async function readPayload(req: IncomingMessage): Promise<{ status?: unknown } | undefined> {
  let text = ''
  for await (const chunk of req) text += chunk
  if (text === '') return undefined
  const { payload } = JSON.parse(text) as { payload: string }
  return payload === '' ? undefined : JSON.parse(Buffer.from(payload, 'base64url').toString())
}

export function keyReader() {
  const key = exportKey(makeKey())
  return async () => key
}

const http01: Solver = { type: 'http-01', present: async () => async () => {} }

export const request = (changes: Partial<CertificateRequest> = {}): CertificateRequest => ({
  name: certId('a.example').name,
  key: makeKey(),
  predecessor: undefined,
  solvers: [http01],
  ...changes,
})

export function run(changes: Partial<Run> = {}): Run {
  const { signal } = new AbortController()
  setMaxListeners(0, signal)
  return {
    signal,
    isLockHeld: true,
    isExclusive: true,
    extendDeadline: () => {},
    proceed: () => {},
    commit: () => {},
    ...changes,
  }
}
