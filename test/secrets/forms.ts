import { createPrivateKey } from 'node:crypto'

/** The secrets of a process, which must not appear in its output. */
export interface Secrets {
  /** Private keys in PEM. */
  readonly keys: readonly string[]
  /** Base64. */
  readonly bytes: readonly string[]
  readonly texts: readonly string[]
}

/** Returns all the forms in which the secrets could appear, without white space. */
export function formsOf({ keys, bytes, texts }: Secrets): string[] {
  const forms = [
    ...keys.flatMap(formsOfKey),
    ...bytes.flatMap((base64) => formsOfBytes(Buffer.from(base64, 'base64'))),
    ...texts.flatMap((text) => [text, encodeURIComponent(text), ...formsOfBytes(Buffer.from(text))]),
  ]
  return [...new Set(forms.map(withoutSpace))]
}

/** Removes white space, so that line breaks in buffers, arrays and JSON do not matter. */
export const withoutSpace = (text: string) => text.replaceAll(/\s+/g, '')

function formsOfKey(pem: string): string[] {
  const key = createPrivateKey(pem)
  const d = Buffer.from(key.export({ format: 'jwk' }).d as string, 'base64url')
  const lines = (['sec1', 'pkcs8'] as const).flatMap((type) =>
    linesWith(d, key.export({ format: 'der', type })),
  )
  return [...formsOfBytes(d), ...lines, ...lines.flatMap((line) => formsOfBytes(Buffer.from(line)))]
}

/** Returns the PEM lines of a DER structure that hold at least 12 bytes of a secret; the others are public. */
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

/** `inspect` prints a Buffer in hexadecimal, JSON as numbers. */
const formsOfBytes = (bytes: Buffer) => [
  bytes.toString('base64'),
  bytes.toString('base64url'),
  bytes.toString('hex'),
  [...bytes].join(','),
]
