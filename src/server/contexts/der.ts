// Just enough DER (X.690) to compare the names in certificates and CRLs, which node:crypto does not provide for CRLs.

/** A SEQUENCE's members, each with its header. `undefined` if the bytes are no complete SEQUENCE. */
function membersOf(der: Buffer | undefined): Buffer[] | undefined {
  const outer = der && headerOf(der)
  if (!outer || der[0] !== 0x30) return undefined
  const members: Buffer[] = []
  for (let rest = der.subarray(outer.start, outer.end); rest.length > 0; ) {
    const header = headerOf(rest)
    if (!header) return undefined
    members.push(rest.subarray(0, header.end))
    rest = rest.subarray(header.end)
  }
  return members
}

/** Where the content of the first value starts and ends. `undefined` if the value is incomplete. */
function headerOf(der: Buffer): { start: number; end: number } | undefined {
  const [, first] = der
  if (first === undefined) return undefined
  const lengthBytes = first < 0x80 ? 0 : first & 0x7f
  const start = 2 + lengthBytes
  if (lengthBytes > 4 || (first >= 0x80 && lengthBytes === 0) || start > der.length) return undefined
  const end = start + (lengthBytes === 0 ? first : der.readUIntBE(2, lengthBytes))
  return end <= der.length ? { start, end } : undefined
}

/** Returns the subject of a certificate (RFC 5280 section 4.1), in DER. */
export function subjectOf(certificate: Buffer): Buffer {
  const fields = membersOf(membersOf(certificate)?.[0]) ?? []
  // The version, in [0], is absent from certificates of version 1.
  const subject = fields[fields[0]?.[0] === 0xa0 ? 5 : 4]
  return subject ?? Buffer.alloc(0)
}

/** Returns the issuer of a CRL (RFC 5280 section 5.1), in DER; `undefined` if the bytes are no CRL. */
export function crlIssuer(crl: Buffer): Buffer | undefined {
  const fields = membersOf(membersOf(crl)?.[0])
  // The version, an INTEGER, is absent from CRLs of version 1.
  return fields?.[fields[0]?.[0] === 0x02 ? 2 : 1]
}
