import type { SecureServerOptions } from 'node:http2'
import { createServer as createTlsServer } from 'node:tls'
import { promisify } from 'node:util'
import { Client, credentials, Server, ServerCredentials, type ServiceDefinition } from '@grpc/grpc-js'
import { expect, test } from 'vitest'
import { host, useSite } from './site.js'

const site = useSite()

const toBytes = (text: string) => Buffer.from(text)
const toText = (bytes: Buffer) => bytes.toString()
const method = {
  path: '/example.Greeter/Greet',
  requestStream: false,
  responseStream: false,
  ...{ requestSerialize: toBytes, requestDeserialize: toText },
  ...{ responseSerialize: toBytes, responseDeserialize: toText },
}
const definition = { greet: method } satisfies ServiceDefinition

/** Returns a gRPC server with one method. */
function createServer(): Server {
  const server = new Server()
  server.addService(definition, {
    greet(call: { request: string }, callback: (error: null, reply: string) => void) {
      callback(null, `hello ${call.request}`)
    },
  })
  return server
}

/** Calls the method with a client that verifies the certificate. */
async function greet(port: number): Promise<string> {
  const channel = credentials.createSsl(Buffer.from(site.ca.rootCertificate))
  const client = new Client(`127.0.0.1:${port}`, channel, { 'grpc.ssl_target_name_override': host })
  try {
    return await new Promise((resolve, reject) => {
      client.makeUnaryRequest(method.path, toBytes, toText, 'client', (error, reply) =>
        error ? reject(error) : resolve(reply as string),
      )
    })
  } finally {
    client.close()
  }
}

/** Lets port 443 of the host lead to a gRPC server with these credentials. Returns the server's port. */
async function bind(grpc: Server, serverCredentials: ServerCredentials): Promise<number> {
  site.onClose(() => promisify(grpc.tryShutdown.bind(grpc))())
  const port: number = await promisify(grpc.bindAsync.bind(grpc))('127.0.0.1:0', serverCredentials)
  return site.lead(port)
}

/** Credentials with the options of a manager. They are equal to no other ones. */
class ManagedCredentials extends ServerCredentials {
  constructor(options: SecureServerOptions) {
    super(options, {})
  }
  override _equals(other: ServerCredentials): boolean {
    return this === other
  }
}

const asGrpcClient = async () => ({ ALPNProtocols: ['h2'] })

test('gRPC serves the connections of a TLS server', async () => {
  const grpc = createServer()
  const injector = grpc.createConnectionInjector(ServerCredentials.createInsecure())
  const options = site.manager.tlsOptions({ ALPNProtocols: ['h2'] })
  const port = await site.serve(createTlsServer(options, (socket) => void injector.injectConnection(socket)))
  site.onClose(() => {
    injector.destroy()
    grpc.forceShutdown()
  })
  await site.expectOneOrder(port, asGrpcClient)
  expect(await greet(port)).toBe('hello client')
})

test('gRPC listens with credentials that pass the callbacks on', async () => {
  const options = site.manager.tlsOptions({ ALPNProtocols: ['h2'] })
  const port = await bind(createServer(), new ManagedCredentials(options))
  await site.expectOneOrder(port, asGrpcClient)
  expect(await greet(port)).toBe('hello client')
})

test('gRPC listens with a copy of the certificate', async () => {
  await site.serveHttp(site.manager.httpHandler())
  const { key, cert } = await site.manager.getCertificate(host)
  const pair = { private_key: Buffer.from(key), cert_chain: Buffer.from(cert) }
  const port = await bind(createServer(), ServerCredentials.createSsl(null, [pair]))
  expect(await greet(port)).toBe('hello client')
  expect(site.ca.ordersFor(host)).toBe(1)
})
