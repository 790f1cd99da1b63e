import * as x509 from '@peculiar/x509'
import * as acme from 'acme-client'
import { expect, test } from 'vitest'
import { post, readyOrder, useCa } from './acme-user.js'

const shared = useCa()
const host = 'a.test'
const ecdsa = (namedCurve: string) => ({ name: 'ECDSA', namedCurve, hash: 'SHA-256' })
const rsa = (modulusLength: number) => ({
  name: 'RSASSA-PKCS1-v1_5',
  modulusLength,
  publicExponent: Uint8Array.of(1, 0, 1),
  hash: 'SHA-256',
})

/** Creates a CSR in base64url. */
async function csrWith(
  names: x509.JsonGeneralNames,
  {
    subject,
    algorithm = ecdsa('P-256'),
  }: { subject?: string; algorithm?: ReturnType<typeof rsa> | object } = {},
): Promise<string> {
  const keys = await crypto.subtle.generateKey(algorithm as ReturnType<typeof rsa>, true, ['sign', 'verify'])
  const csr = await x509.Pkcs10CertificateRequestGenerator.create({
    ...(subject && { name: subject }),
    keys,
    signingAlgorithm: algorithm as ReturnType<typeof ecdsa>,
    extensions: names.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension(names)],
  })
  return Buffer.from(csr.rawData).toString('base64url')
}

const dns = (value: string) => ({ type: 'dns' as const, value })

async function finalize(csr: unknown) {
  const { ca, user } = shared
  const order = await readyOrder(ca, user, [host])
  const { status, data } = await post(user, order.finalize, { csr })
  return {
    status,
    type: String(data.type ?? '')
      .split(':')
      .at(-1),
    order: data.status,
  }
}

const accepted = { status: 200, type: '', order: 'valid' }
const refused = { status: 400, type: 'badCSR', order: 400 }

test.each([
  ['names in upper case', [dns('A.Test')], {}],
  ['the name only as common name', [], { subject: 'CN=A.test' }],
  ['a P-384 key', [dns(host)], { algorithm: ecdsa('P-384') }],
])('finalize accepts a CSR with %s', async (_, names, options) => {
  expect(await finalize(await csrWith(names, options))).toEqual(accepted)
})

test.each([
  ['another common name', [dns(host)], { subject: 'CN=b.test' }],
  ['an IP address', [dns(host), { type: 'ip' as const, value: '127.0.0.1' }], {}],
  ['a P-521 key', [dns(host)], { algorithm: ecdsa('P-521') }],
  ['an RSA key of 1024 bits', [dns(host)], { algorithm: rsa(1_024) }],
])('finalize refuses a CSR with %s', async (_, names, options) => {
  expect(await finalize(await csrWith(names, options))).toEqual(refused)
})

test('finalize answers malformed without a CSR, and to padded base64url', async () => {
  const padded = (await csrWith([dns(host)])).concat('=')
  for (const csr of [undefined, 1, padded]) {
    expect(await finalize(csr)).toEqual({ status: 400, type: 'malformed', order: 400 })
  }
})

test('a certificate with an RSA key may encipher keys, and one with an EC key may not', async () => {
  const { ca, user } = shared
  const usages: number[] = []
  for (const algorithm of [rsa(2_048), ecdsa('P-256')]) {
    const order = await readyOrder(ca, user, [host])
    const csr = await csrWith([dns(host)], { algorithm })
    expect((await post(user, order.finalize, { csr })).data.status).toBe('valid')
    const leaf = new x509.X509Certificate(acme.crypto.splitPemChain(ca.issued.at(-1)!.pem)[0]!)
    expect(leaf.getExtension(x509.BasicConstraintsExtension)).toMatchObject({ ca: false, critical: true })
    expect(leaf.getExtension(x509.SubjectAlternativeNameExtension)?.critical).toBe(true)
    expect(leaf.subject).toBe('')
    usages.push(leaf.getExtension(x509.KeyUsagesExtension)!.usages)
  }
  const { digitalSignature, keyEncipherment } = x509.KeyUsageFlags
  expect(usages).toEqual([digitalSignature | keyEncipherment, digitalSignature])
})
