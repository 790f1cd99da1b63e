import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'

/** Resource record types: RFC 1035 section 3.2.2, RFC 3596, RFC 8659. */
const types = { A: 1, AAAA: 28, CAA: 257 } as const

/**
 * The records of a name: addresses, and the values of CAA `issue` and `issuewild` records. With `failing`, the reply is
 * SERVFAIL.
 */
export interface DnsRecords {
  readonly A?: readonly string[]
  readonly AAAA?: readonly string[]
  readonly CAA?: readonly string[]
  readonly issuewild?: readonly string[]
  readonly failing?: boolean
}

/** Starts a name server (RFC 1035) for these names on a free UDP port of 127.0.0.1. Other names do not exist. */
export async function openNameServer(names: Readonly<Record<string, DnsRecords>>) {
  const socket = createSocket('udp4', (query, { port, address }) => {
    socket.send(reply(query, names), port, address)
  })
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  return {
    address: `127.0.0.1:${(socket.address() as AddressInfo).port}`,
    async close() {
      const closed = once(socket, 'close')
      socket.close()
      await closed
    },
  }
}

function reply(query: Buffer, names: Readonly<Record<string, DnsRecords>>): Buffer {
  const labels: string[] = []
  let offset = 12
  for (let length = query[offset++] as number; length > 0; length = query[offset++] as number) {
    labels.push(query.toString('latin1', offset, offset + length))
    offset += length
  }
  const question = query.subarray(12, offset + 4)
  const type = query.readUInt16BE(offset)
  const records = names[labels.join('.').toLowerCase()]
  const data = records ? dataOf(records, type) : []
  const code = records?.failing ? 2 : records ? 0 : 3 // SERVFAIL, NOERROR, NXDOMAIN
  const header = Buffer.alloc(12)
  query.copy(header, 0, 0, 2)
  header.writeUInt16BE(0x8580 | code, 2)
  header.writeUInt16BE(1, 4)
  header.writeUInt16BE(data.length, 6)
  return Buffer.concat([
    header,
    question,
    ...data.flatMap((value) => [recordHeader(type, value.length), value]),
  ])
}

function recordHeader(type: number, length: number): Buffer {
  const header = Buffer.from('c00c000000010000003c0000', 'hex') // the name of the question, class IN, 60 s
  header.writeUInt16BE(type, 2)
  header.writeUInt16BE(length, 10)
  return header
}

function dataOf({ A = [], AAAA = [], CAA = [], issuewild = [] }: DnsRecords, type: number): Buffer[] {
  if (type === types.A) return A.map((address) => Buffer.from(address.split('.').map(Number)))
  if (type === types.AAAA) {
    // Only addresses such as ::1.
    return AAAA.map((address) =>
      Buffer.concat([Buffer.alloc(15), Buffer.of(Number(address.replace('::', '')))]),
    )
  }
  if (type === types.CAA) {
    return [
      ...CAA.map((value) => Buffer.from(`\u0000\u0005issue${value}`, 'latin1')),
      ...issuewild.map((value) => Buffer.from(`\u0000\u0009issuewild${value}`, 'latin1')),
    ]
  }
  return []
}
