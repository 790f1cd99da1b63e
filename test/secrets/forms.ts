import { createPrivateKey } from 'node:crypto'

/** What a process has told that must be seen nowhere. */
export interface Secrets {
  /** Private keys in PEM. */
  readonly keys: readonly string[]
  /** Base64. */
  readonly bytes: readonly string[]
  readonly texts: readonly string[]
}

/** All the forms in which it could be seen, without white space. */
export function formsOf({ keys, bytes, texts }: Secrets): string[] {
  const forms = [
    ...keys.flatMap(formsOfKey),
    ...bytes.flatMap((base64) => formsOfBytes(Buffer.from(base64, 'base64'))),
    ...texts.flatMap((text) => [text, encodeURIComponent(text), ...formsOfBytes(Buffer.from(text))]),
  ]
  return [...new Set(forms.map(withoutSpace))]
}

/** So that it makes no difference how a buffer, an array or JSON is broken into lines. */
export const withoutSpace = (text: string) => text.replaceAll(/\s+/g, '')

function formsOfKey(pem: string): string[] {
  const key = createPrivateKey(pem)
  const d = Buffer.from(key.export({ format: 'jwk' }).d as string, 'base64url')
  const lines = (['sec1', 'pkcs8'] as const).flatMap((type) =>
    linesWith(d, key.export({ format: 'der', type })),
  )
  return [...formsOfBytes(d), ...lines, ...lines.flatMap((line) => formsOfBytes(Buffer.from(line)))]
}

/** Of the lines that DER has in PEM, those with much of a secret in them: the others are public. */
function linesWith(secret: Buffer, der: Buffer): string[] {
  const start = der.indexOf(secret)
  const end = start + secret.length
  const lines: string[] = []
  for (let at = 0; at < der.length; at += 48) {
    if (Math.min(end, at + 48) - Math.max(start, at) >= 12)
      lines.push(der.subarray(at, at + 48).toString('base64'))
  }
  return lines
}

/** Hexadecimal also as inspect shows a Buffer, the numbers also as JSON has them. */
const formsOfBytes = (bytes: Buffer) => [
  bytes.toString('base64'),
  bytes.toString('base64url'),
  bytes.toString('hex'),
  [...bytes].join(','),
]
