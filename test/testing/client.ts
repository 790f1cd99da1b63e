import { createServer, type Server as HttpServer } from 'node:http'
import { Agent } from 'node:https'
import type { AddressInfo, Server as NetServer, Socket } from 'node:net'
import * as acme from 'acme-client'
import { onTestFinished } from 'vitest'
import { TestCa, type TestCaOptions } from '../../src/testing/index.js'

/** What a response of acme-client's HTTP layer has. */
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

/** A client of one CA: acme-client, and its HTTP layer for requests that acme-client would not make. */
export interface TestClient {
  client: acme.Client
  http: HttpLayer
}

/** A CA that closes with the test. */
export async function startCa(options?: TestCaOptions): Promise<TestCa> {
  const ca = await TestCa.start(options)
  onTestFinished(() => ca.close())
  return ca
}

/** A client that trusts the CA, does not retry by itself, and polls often. */
export async function clientOf(
  ca: { directoryUrl: string; endpointCertificate: string },
  options: Partial<acme.ClientOptions> = {},
): Promise<TestClient> {
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

/** The same with an account. */
export async function registered(ca: TestCa, options?: Partial<acme.ClientOptions>): Promise<TestClient> {
  const test = await clientOf(ca, options)
  await test.client.createAccount({ termsOfServiceAgreed: true })
  return test
}

/** A new order for these names, with the challenges of one type that it asks for. */
export async function newOrder(
  { client }: TestClient,
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

/** POST-as-GET, or a POST, with the account's kid and a new nonce. */
export function post(
  { client, http }: TestClient,
  url: string,
  payload: object | null = null,
): Promise<Response> {
  return http.signedRequest(url, payload, { kid: client.getAccountUrl() })
}

/** The port of a server on 127.0.0.1 that closes with the test; its clients may break off. */
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

/** Answers http-01 with what `answers` has for the path. */
export function httpAnswers(ca: TestCa, answers: Map<string, string>): Promise<void> {
  const server = createServer((request, response) => {
    const body = answers.get(`${request.headers.host}${request.url}`)
    response.writeHead(body === undefined ? 404 : 200).end(body)
  })
  return portOf(server).then((port) => {
    ca.httpPort = port
  })
}

/** An order whose http-01 challenges have been answered and found right. */
export async function readyOrder(ca: TestCa, test: TestClient, hosts: string[]): Promise<acme.Order> {
  const { order, authzs, challenges } = await newOrder(test, hosts)
  const answers = new Map<string, string>()
  for (const [i, challenge] of challenges.entries()) {
    const key = `${authzs[i]!.identifier.value}/.well-known/acme-challenge/${challenge.token}`
    answers.set(key, await test.client.getChallengeKeyAuthorization(challenge))
  }
  await httpAnswers(ca, answers)
  for (const challenge of challenges) await test.client.completeChallenge(challenge)
  // What acme-client returns here has lost its URL.
  return { ...(await test.client.waitForValidStatus(order)), url: order.url }
}

/** A CSR with a new P-256 key. */
export async function csrFor(hosts: string[]): Promise<{ key: Buffer; csr: Buffer }> {
  const [key, csr] = await acme.crypto.createCsr(
    { altNames: hosts },
    await acme.crypto.createPrivateEcdsaKey(),
  )
  return { key, csr }
}

/** From nothing to a certificate, over http-01. */
export async function obtain(
  ca: TestCa,
  test: TestClient,
  hosts: string[],
): Promise<{ key: Buffer; pem: string }> {
  const order = await readyOrder(ca, test, hosts)
  const { key, csr } = await csrFor(hosts)
  const finalized = await test.client.finalizeOrder(order, csr)
  return { key, pem: await test.client.getCertificate(finalized) }
}
