import { createHash } from 'node:crypto'
import { connect, type Socket } from 'node:net'
import { clientHello } from './client-hello.js'

/** Concurrent connections. They keep a core of the server busy; more would only wait for each other. */
const width = 10
/** RFC 8446 section 5.1. */
const alertRecord = 21

/** Runs `work` the given number of times, 10 at a time, and counts its results. */
export async function flood<T extends string>(times: number, work: (index: number) => Promise<T>) {
  const outcomes: Record<string, number> = {}
  let next = 0
  const worker = async () => {
    while (next < times) {
      const outcome = await work(next++)
      outcomes[outcome] = (outcomes[outcome] ?? 0) + 1
    }
  }
  await Promise.all(Array.from({ length: width }, worker))
  return outcomes
}

let digests = 0

/** Returns different bytes on each call, but the same sequence in each run. */
const nextBytes = () => createHash('sha256').update(String(digests++)).digest()

export function randomName(): string {
  const digits = nextBytes().toString('hex')
  return `${digits.slice(0, 16)}.${digits.slice(16, 24)}.example`
}

/** Sends bytes, and returns the kind of the server's first response. */
export async function sayHello(port: number, hello: Uint8Array): Promise<'alert' | 'served' | 'closed'> {
  const socket = await open(port)
  try {
    socket.write(hello)
    const data = await Promise.race([event(socket, 'data'), event(socket, 'close')])
    if (!Buffer.isBuffer(data)) return 'closed'
    return data[0] === alertRecord ? 'alert' : 'served'
  } finally {
    socket.destroy()
  }
}

/** Sends bytes, and resets the connection at once or after the server's first response. */
export async function abort(port: number, hello: Uint8Array, when: 'sent' | 'answered'): Promise<'aborted'> {
  const socket = await open(port)
  const answered = Promise.race([event(socket, 'data'), event(socket, 'close')])
  await new Promise((resolve) => socket.write(hello, resolve))
  if (when === 'answered') await answered
  socket.resetAndDestroy()
  return 'aborted'
}

/** Opens sockets that send half of a ClientHello and then nothing. */
export async function stall(port: number, count: number) {
  const sockets: Socket[] = []
  await flood(count, async () => {
    const socket = await open(port)
    const hello = clientHello({ name: randomName() })
    await new Promise((resolve) => socket.write(hello.subarray(0, hello.length / 2), resolve))
    sockets.push(socket)
    return 'stalled'
  })
  return {
    alive: () => sockets.filter(({ closed }) => !closed).length,
    async close() {
      const open = sockets.filter(({ closed }) => !closed)
      const closed = open.map((socket) => event(socket, 'close'))
      for (const socket of open) socket.destroy()
      await Promise.all(closed)
    },
  }
}

/** Sends bytes to the http server; returns the status, or 'closed'. */
export async function sendRequest(port: number, request: string | Uint8Array, localAddress = '127.0.0.1') {
  const socket = await open(port, localAddress)
  try {
    socket.write(request)
    let answer = ''
    socket.on('data', (data) => {
      answer += data.toString('latin1')
    })
    await event(socket, 'close')
    return /^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1] ?? 'closed'
  } finally {
    socket.destroy()
  }
}

export const challengeRequest = (token: string, host: string) =>
  `GET /.well-known/acme-challenge/${token} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`

export const randomToken = () => nextBytes().toString('base64url').slice(0, 22)

async function open(port: number, localAddress = '127.0.0.1'): Promise<Socket> {
  const socket = connect({ host: '127.0.0.1', port, localAddress })
  socket.on('error', () => undefined)
  await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject))
  return socket
}

/** Unlike `once` of node:events, does not reject on an error: a reset is a response, which ends in 'close'. */
const event = (socket: Socket, name: 'data' | 'close') =>
  new Promise<unknown>((resolve) => socket.once(name, resolve))
