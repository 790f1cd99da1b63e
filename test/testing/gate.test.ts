import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { expect, onTestFinished, test } from 'vitest'
import { openGate } from '../support/gate.js'
import { portOf } from './acme-user.js'

async function gateTo(target: number | undefined) {
  const gate = await openGate()
  onTestFinished(() => gate.close())
  gate.target = target
  return gate
}

/** Connects to a port; the connection may be reset. */
function dial(port: number): Socket {
  return connect(port, '127.0.0.1').on('error', () => undefined)
}

test('a gate forwards new connections to its current target, and counts them', async () => {
  const [firstPort, secondPort] = [
    await portOf(createServer((socket) => socket.end('one'))),
    await portOf(createServer((socket) => socket.end('two'))),
  ]
  const gate = await gateTo(firstPort)
  const first = await text(dial(gate.port).end())
  gate.target = secondPort
  const second = await text(dial(gate.port).end())
  expect([first, second, gate.connections]).toEqual(['one', 'two', 2])
})

test('a gate forwards the end of one direction and keeps the other direction open', async () => {
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

test('a gate closes the connection without a target, and when nothing listens on the target', async () => {
  const server = createServer()
  const port = await portOf(server)
  server.close()
  for (const target of [undefined, port]) {
    const gate = await gateTo(target)
    await once(dial(gate.port).resume(), 'close')
    expect(gate.connections).toBe(1)
  }
})

test('a gate closes one side of a connection when the other side breaks it off', async () => {
  const server = createServer()
  const gate = await gateTo(await portOf(server))
  const connected = once(server, 'connection')
  const client = dial(gate.port)
  const socket: Socket = (await connected)[0]
  client.resetAndDestroy()
  await once(socket, 'close')
})

test('close ends the connections of a gate, and may be called twice', async () => {
  const gate = await gateTo(await portOf(createServer((socket) => socket.resume())))
  const client = dial(gate.port).resume()
  await expect.poll(() => gate.connections).toBe(1)
  const closed = once(client, 'close')
  await gate.close()
  await closed
  await gate.close()
})
