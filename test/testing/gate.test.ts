import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { expect, onTestFinished, test } from 'vitest'
import { openGate } from '../support/gate.js'
import { portOf } from './client.js'

async function gateTo(target: number | undefined) {
  const gate = await openGate()
  onTestFinished(() => gate.close())
  gate.target = target
  return gate
}

/** A client that may be reset. */
function dial(port: number): Socket {
  return connect(port, '127.0.0.1').on('error', () => undefined)
}

test('a gate leads to the server that is its target at the moment, and counts', async () => {
  const [one, two] = [
    await portOf(createServer((socket) => socket.end('one'))),
    await portOf(createServer((socket) => socket.end('two'))),
  ]
  const gate = await gateTo(one)
  const first = await text(dial(gate.port).end())
  gate.target = two
  const second = await text(dial(gate.port).end())
  expect([first, second, gate.connections]).toEqual(['one', 'two', 2])
})

test('a gate passes an end on in one direction and keeps the other open', async () => {
  const port = await portOf(
    createServer({ allowHalfOpen: true }, (socket) => {
      const chunks: Buffer[] = []
      socket.on('data', (chunk) => chunks.push(chunk))
      socket.on('end', () => socket.end(`got ${Buffer.concat(chunks)}`))
    }),
  )
  const gate = await gateTo(port)
  expect(await text(dial(gate.port).end('all of it'))).toBe('got all of it')
})

test('a gate without target, or with one where nobody listens, ends the connection', async () => {
  const server = createServer()
  const port = await portOf(server)
  server.close()
  for (const target of [undefined, port]) {
    const gate = await gateTo(target)
    await once(dial(gate.port).resume(), 'close')
    expect(gate.connections).toBe(1)
  }
})

test('a gate ends a connection for one side when the other side has broken it off', async () => {
  const server = createServer()
  const gate = await gateTo(await portOf(server))
  const connected = once(server, 'connection')
  const client = dial(gate.port)
  const socket: Socket = (await connected)[0]
  client.resetAndDestroy()
  await once(socket, 'close')
})

test('closing a gate ends its connections, and is harmless when repeated', async () => {
  const gate = await gateTo(await portOf(createServer((socket) => socket.resume())))
  const client = dial(gate.port).resume()
  await expect.poll(() => gate.connections).toBe(1)
  const closed = once(client, 'close')
  await gate.close()
  await closed
  await gate.close()
})
