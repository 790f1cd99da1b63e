import type { KeyObject } from 'node:crypto'

const hex = (text: string) => Buffer.from(text, 'hex')

function der(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts)
  const { length } = content
  const size = length < 0x80 ? [length] : [0x82, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.from([tag, ...size]), content])
}

const sequence = (...parts: readonly Uint8Array[]) => der(0x30, ...parts)
const commonName = (name: string) =>
  sequence(der(0x31, sequence(hex('0603550403'), der(0x0c, Buffer.from(name)))))
const utcTime = (at: number) =>
  der(0x17, Buffer.from(`${new Date(at).toISOString().slice(2, 19).replace(/\D/g, '')}Z`))
const version3 = hex('a003020102')
const ecdsaWithSha256 = hex('300a06082a8648ce3d040302')
const p256 = hex('301306072a8648ce3d020106082a8648ce3d030107')
const subjectAlternativeName = hex('0603551d11')
/** Invalid: nothing in the simulation verifies it. */
const signature = der(0x03, hex('00'), sequence(hex('020101'), hex('020101')))

interface CertificateFields {
  readonly host: string
  readonly key: KeyObject
  /** 8 bytes in hexadecimal; the first bit is 0. */
  readonly serialNumber: string
  readonly notBefore: number
  readonly notAfter: number
}

/** Builds a certificate as PEM without a signature and without a library, which would take long. */
export function makeCertificate({ host, key, serialNumber, notBefore, notAfter }: CertificateFields): string {
  const { x = '', y = '' } = key.export({ format: 'jwk' })
  const point = [hex('0004'), Buffer.from(x, 'base64url'), Buffer.from(y, 'base64url')]
  const names = sequence(subjectAlternativeName, der(0x04, sequence(der(0x82, Buffer.from(host)))))
  const toBeSigned = sequence(
    version3,
    der(0x02, hex(serialNumber)),
    ecdsaWithSha256,
    commonName('simulated CA'),
    sequence(utcTime(notBefore), utcTime(notAfter)),
    commonName(host),
    sequence(p256, der(0x03, ...point)),
    der(0xa3, sequence(names)),
  )
  const base64 = sequence(toBeSigned, ecdsaWithSha256, signature).toString('base64')
  const lines = base64.replace(/.{1,64}/g, '$&\n')
  return `-----BEGIN CERTIFICATE-----\n${lines}-----END CERTIFICATE-----\n`
}
