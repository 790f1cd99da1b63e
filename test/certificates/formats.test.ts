import { createPrivateKey } from 'node:crypto'
import { beforeAll, describe, expect, test } from 'vitest'
import { checkBundle, decodeBundle, encodeBundle } from '../../src/certificates/certificate-bundle.js'
import { certId } from '../support/cert-id.js'
import { makeBundle } from '../support/certificates.js'

type Made = Awaited<ReturnType<typeof makeBundle>>
interface Parts {
  pkcs8: string
  /** SEC1 for EC, PKCS#1 for RSA. */
  traditional: string
  leaf: string
  intermediate: string
}

/** The block that openssl ecparam -genkey writes before the key: the name of the curve P-256. */
const ecParameters = '-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n'
/** The lines that openssl pkcs12 and openssl s_client write before each block. */
const bagAttributes =
  'Bag Attributes\n    friendlyName: café\n    localKeyID: 54 69 6D 65 \nKey Attributes: <No Attributes>\n'
const subject = 'subject=CN=example.com\nissuer=C=US, O=Let\'s Encrypt, CN="R3"\n\n'

/** Inserts header lines (RFC 1421 section 4.6) after the first line of each block. */
const withHeaders = (pem: string, headers = 'Proc-Type: 4,MIC-CLEAR\nComment: a key - of\n  ours: AAAA\n') =>
  pem.replace(/-----BEGIN .*-----\n/g, `$&${headers}\n`)
const encrypted = (pem: string) => withHeaders(pem, 'Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n')

/** The same key and chain in the forms that occur in real files. */
const files: Record<string, (parts: Parts) => string> = {
  'autocert’s own form': ({ traditional, leaf, intermediate }) => traditional + leaf + intermediate,
  'PKCS#8': ({ pkcs8, leaf, intermediate }) => pkcs8 + leaf + intermediate,
  CRLF: ({ traditional, leaf, intermediate }) => (traditional + leaf + intermediate).replaceAll('\n', '\r\n'),
  'PKCS#8 and CRLF': ({ pkcs8, leaf, intermediate }) =>
    (pkcs8 + leaf + intermediate).replaceAll('\n', '\r\n'),
  'no final newline': ({ traditional, leaf, intermediate }) => (traditional + leaf + intermediate).trimEnd(),
  'blocks glued together, none with a final newline': ({ traditional, leaf, intermediate }) =>
    [traditional, leaf, intermediate].map((block) => block.trimEnd()).join(''),
  'blank lines between the blocks and at the end': ({ traditional, leaf, intermediate }) =>
    `${traditional}\n${leaf}\n\n${intermediate}\n\n`,
  'text between the blocks': ({ pkcs8, leaf, intermediate }) =>
    `${bagAttributes}${pkcs8}${bagAttributes}${subject}${leaf}${subject}${intermediate}# the end\n`,
  'text between the blocks, and CRLF': ({ pkcs8, leaf, intermediate }) =>
    `${bagAttributes}${pkcs8}${subject}${leaf}${subject}${intermediate}`.replaceAll('\n', '\r\n'),
  'the key after the chain': ({ traditional, leaf, intermediate }) => leaf + intermediate + traditional,
  'the key between leaf and intermediate': ({ pkcs8, leaf, intermediate }) => leaf + pkcs8 + intermediate,
  'a byte order mark': ({ traditional, leaf, intermediate }) =>
    `\u{feff}${traditional}${leaf}${intermediate}`,
  'spaces at the ends of the lines': ({ traditional, leaf, intermediate }) =>
    (traditional + leaf + intermediate).replaceAll('\n', ' \t\n'),
  'header lines in the blocks': ({ traditional, leaf, intermediate }) =>
    withHeaders(traditional + leaf + intermediate),
  'header lines in the blocks, and CRLF': ({ pkcs8, leaf, intermediate }) =>
    withHeaders(pkcs8 + leaf + intermediate).replaceAll('\n', '\r\n'),
  'an encrypted key first': ({ traditional, leaf, intermediate }) =>
    encrypted(traditional) + traditional + leaf + intermediate,
  'each block on lines of 76 columns': ({ traditional, leaf, intermediate }) =>
    (traditional + leaf + intermediate).replace(
      /(-----BEGIN .*-----\n)([^-]+)/g,
      (_, begin: string, body: string) => begin + body.replaceAll('\n', '').replace(/.{1,76}/g, '$&\n'),
    ),
}

/** Forms that only EC keys have: the curve's name precedes the key. */
const ecFiles: typeof files = {
  'EC PARAMETERS before the key': ({ traditional, leaf, intermediate }) =>
    ecParameters + traditional + leaf + intermediate,
  'EC PARAMETERS, CRLF and the key after the chain': ({ traditional, leaf, intermediate }) =>
    (leaf + intermediate + ecParameters + traditional).replaceAll('\n', '\r\n').trimEnd(),
}

describe.each([
  ['ec', { ...files, ...ecFiles }],
  ['rsa', files],
] as const)('%s', (keyType, forms) => {
  let made: Made
  const id = certId('example.com', { keyType: keyType === 'rsa' ? 'rsa-2048' : 'ecdsa-p256' })
  let parts: Parts
  let autocerts: Uint8Array
  beforeAll(async () => {
    made = await makeBundle({ keyType })
    // Only its form matters, so any certificate will do.
    const intermediate = (await makeBundle({ host: 'ca.example' })).chain
    const exported = (type: 'pkcs8' | 'pkcs1' | 'sec1') => made.key.export({ format: 'pem', type }).toString()
    const traditional = exported(keyType === 'rsa' ? 'pkcs1' : 'sec1')
    parts = { pkcs8: exported('pkcs8'), traditional, leaf: made.chain, intermediate }
    autocerts = Buffer.from(traditional + made.chain + intermediate)
  })

  test.each(Object.keys(forms))('reads the bundle, and writes it in exactly autocert’s form: %s', (form) => {
    const stored = Buffer.from(forms[form]!(parts))
    const checked = checkBundle(stored, id, Date.now())
    expect(checked.fault).toBeUndefined()
    expect(checked).toMatchObject({ serialNumber: made.serialNumber })
    const bundle = decodeBundle(stored)
    if ('fault' in bundle) throw new Error(bundle.fault)
    expect(Buffer.from(encodeBundle(createPrivateKey(bundle.key), bundle.chain))).toEqual(autocerts)
  })

  test('writes the same bytes for every form of the chain that a CA returns', () => {
    const { leaf, intermediate } = parts
    for (const chain of [
      leaf + intermediate,
      `${leaf}\n${intermediate}\n`,
      (leaf + intermediate).replaceAll('\n', '\r\n'),
      `${subject}${leaf}${subject}${intermediate}`.trimEnd(),
    ]) {
      expect(Buffer.from(encodeBundle(made.key, chain))).toEqual(autocerts)
    }
  })
})

test.each([
  ['PKCS#8', 'ENCRYPTED PRIVATE KEY', ''],
  ['SEC1', 'EC PRIVATE KEY', 'Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n'],
  ['other header lines first', 'RSA PRIVATE KEY', 'Comment: ours\nproc-type: 4, Encrypted\n\n'],
])('an encrypted key is not accepted as a private key: %s', async (_, label, headers) => {
  const { chain } = await makeBundle()
  const stored = `-----BEGIN ${label}-----\n${headers}AAAA\n-----END ${label}-----\n${chain}`
  expect(checkBundle(Buffer.from(stored), certId('example.com'), Date.now())).toEqual({
    fault: 'no private key',
  })
})
