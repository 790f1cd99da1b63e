import { randomBytes } from 'node:crypto'

const uint16 = (value: number) => Buffer.from([value >> 8, value & 0xff])
/** Prefixes a vector with its length in two bytes. */
const vector = (...parts: Uint8Array[]) => {
  const body = Buffer.concat(parts)
  return Buffer.concat([uint16(body.length), body])
}
const short = (body: Uint8Array) => Buffer.concat([Buffer.from([body.length]), body])
const extension = (type: number, ...body: Uint8Array[]) => Buffer.concat([uint16(type), vector(...body)])

interface HelloOptions {
  /** The server name: bytes, or a string to encode in UTF-8. */
  readonly name: string | Uint8Array
  /** The ALPN protocol (RFC 7301). Default: none. */
  readonly protocol?: string
}

/** Returns a ClientHello of TLS 1.3 (RFC 8446 section 4.1.2) with any bytes as the server name, in one record. */
export function clientHello({ name, protocol }: HelloOptions): Buffer {
  const extensions = [
    // RFC 6066 section 3: a list with one name of type host_name.
    extension(0, vector(Buffer.from([0]), vector(Buffer.from(name)))),
    ...(protocol === undefined ? [] : [extension(16, vector(short(Buffer.from(protocol))))]),
    extension(10, vector(uint16(0x001d))), // x25519
    extension(13, vector(uint16(0x0403), uint16(0x0804), uint16(0x0401))),
    extension(43, short(uint16(0x0304))),
    extension(51, vector(uint16(0x001d), vector(randomBytes(32)))),
  ]
  const body = Buffer.concat([
    uint16(0x0303),
    randomBytes(32),
    short(randomBytes(32)),
    vector(uint16(0x1301)),
    short(Buffer.from([0])),
    vector(...extensions),
  ])
  const handshake = Buffer.concat([Buffer.from([1, 0]), uint16(body.length), body])
  return Buffer.concat([Buffer.from([22, 3, 1]), vector(handshake)])
}
