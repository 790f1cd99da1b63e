import { createServer, type Server as HttpServer } from 'node:http'
import { Agent } from 'node:https'
import type { AddressInfo, Server as NetServer, Socket } from 'node:net'
import * as acme from 'acme-client'
import { afterAll, beforeAll, onTestFinished } from 'vitest'
import { TestCa, type TestCaOptions } from '../../src/testing/index.js'

/** A response of acme-client's HTTP layer. */
export interface Response {
  status: number
  headers: Record<string, string | undefined>
  data: Record<string, unknown>
}

interface SignedBody {
  protected: string
  payload: string
  signature: string
}

/** The parts of acme-client's HTTP layer that its types leave out. */
interface HttpLayer {
  request(url: string, method: string, opts?: object): Promise<Response>
  signedRequest(
    url: string,
    payload: object | null,
    opts?: { kid?: string; nonce?: string },
  ): Promise<Response>
  createSignedBody(url: string, payload: object | null, opts: { kid?: string; nonce?: string }): SignedBody
  getNonce(): Promise<string>
  getResourceUrl(name: string): Promise<string>
}

/** A user of one CA: acme-client, and its HTTP layer for requests that acme-client would not send. */
export interface AcmeUser {
  client: acme.Client
  http: HttpLayer
}

/** Starts one CA with a registered user for all tests of a file. Call it at the top level. */
export function useCa(): { readonly ca: TestCa; readonly user: AcmeUser } {
  const shared = {} as { ca: TestCa; user: AcmeUser }
  beforeAll(async () => {
    shared.ca = await TestCa.start()
    shared.user = await registered(shared.ca)
  })
  afterAll(() => shared.ca.close())
  return shared
}

/** Starts a CA that closes with the test. */
export async function startCa(options?: TestCaOptions): Promise<TestCa> {
  const ca = await TestCa.start(options)
  onTestFinished(() => ca.close())
  return ca
}

/** Returns a user without an account, who trusts the CA, does not retry failed requests, and polls frequently. */
export async function userOf(
  ca: { directoryUrl: string; endpointCertificate: string },
  options: Partial<acme.ClientOptions> = {},
): Promise<AcmeUser> {
  const client = new acme.Client({
    directoryUrl: ca.directoryUrl,
    accountKey: await acme.crypto.createPrivateEcdsaKey(),
    backoffAttempts: 200,
    backoffMin: 10,
    backoffMax: 50,
    ...options,
  })
  const { http } = client as unknown as { http: HttpLayer }
  const httpsAgent = new Agent({ ca: ca.endpointCertificate, keepAlive: false })
  const request = http.request.bind(http)
  http.request = (url, method, opts) =>
    request(url, method, { ...opts, httpsAgent, proxy: false, retryAttempt: Infinity })
  return { client, http }
}

/** Returns a user with an account. */
export async function registered(ca: TestCa, options?: Partial<acme.ClientOptions>): Promise<AcmeUser> {
  const user = await userOf(ca, options)
  await user.client.createAccount({ termsOfServiceAgreed: true })
  return user
}

/** Places an order for these names. `challenges` holds the challenge of the given type for each of them. */
export async function newOrder(
  { client }: AcmeUser,
  hosts: string[],
  type = 'http-01',
): Promise<{
  order: acme.Order
  challenges: acme.Authorization['challenges']
  authzs: acme.Authorization[]
}> {
  const order = await client.createOrder({ identifiers: hosts.map((value) => ({ type: 'dns', value })) })
  const authzs = await client.getAuthorizations(order)
  return { order, authzs, challenges: authzs.map((authz) => authz.challenges.find((c) => c.type === type)!) }
}

/** Sends a POST with the account's kid and a new nonce; POST-as-GET without a payload. */
export function post(
  { client, http }: AcmeUser,
  url: string,
  payload: object | null = null,
): Promise<Response> {
  return http.signedRequest(url, payload, { kid: client.getAccountUrl() })
}

/** Starts a server on 127.0.0.1 that closes with the test, and returns its port. Its clients may break off. */
export async function portOf(server: NetServer): Promise<number> {
  for (const event of ['connection', 'secureConnection'])
    server.on(event, (socket: Socket) => socket.on('error', () => undefined))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    if ('closeAllConnections' in server) (server as HttpServer).closeAllConnections()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

/** Serves http-01 responses to the CA. @param responses bodies by host and path, such as `a.test/.well-known/…` */
export async function serveHttp01(ca: TestCa, responses: ReadonlyMap<string, string>): Promise<void> {
  const server = createServer((request, response) => {
    const body = responses.get(`${request.headers.host}${request.url}`)
    response.writeHead(body === undefined ? 404 : 200).end(body)
  })
  ca.httpPort = await portOf(server)
}

/** Places an order and completes its http-01 challenges. */
export async function readyOrder(ca: TestCa, user: AcmeUser, hosts: string[]): Promise<acme.Order> {
  const { order, authzs, challenges } = await newOrder(user, hosts)
  const responses = new Map<string, string>()
  for (const [i, challenge] of challenges.entries()) {
    const key = `${authzs[i]!.identifier.value}/.well-known/acme-challenge/${challenge.token}`
    responses.set(key, await user.client.getChallengeKeyAuthorization(challenge))
  }
  await serveHttp01(ca, responses)
  for (const challenge of challenges) await user.client.completeChallenge(challenge)
  // The order that acme-client returns here lacks its URL.
  return { ...(await user.client.waitForValidStatus(order)), url: order.url }
}

/** Creates a CSR with a new P-256 key. */
export async function csrFor(hosts: string[]): Promise<{ key: Buffer; csr: Buffer }> {
  const [key, csr] = await acme.crypto.createCsr(
    { altNames: hosts },
    await acme.crypto.createPrivateEcdsaKey(),
  )
  return { key, csr }
}

/** Obtains a certificate with http-01. */
export async function obtain(
  ca: TestCa,
  user: AcmeUser,
  hosts: string[],
): Promise<{ key: Buffer; pem: string }> {
  const order = await readyOrder(ca, user, hosts)
  const { key, csr } = await csrFor(hosts)
  const finalized = await user.client.finalizeOrder(order, csr)
  return { key, pem: await user.client.getCertificate(finalized) }
}
