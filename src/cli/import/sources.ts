import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { CommandError } from '../console/arguments.js'
import { fileError } from '../console/files.js'
import { classifyEntry } from '../container/entries.js'

/** What a source has: a private key with its chain, or the key of an ACME account. */
export type Found = { readonly from: string } & (
  | { readonly pem: string }
  | { readonly accountKey: string }
  /** Why it could not be read. */
  | { readonly unreadable: string }
)

/** The files of Go's `autocert.DirCache` are called as the keys of its cache, so as ours. */
export async function* fromAutocert(folder: string): AsyncGenerator<Found> {
  const listed = (await list(folder)).filter((file) => file.isFile())
  for (const { name } of listed) {
    const { kind } = classifyEntry({ name, size: 0, modified: new Date(0) }).meaning
    if (kind === 'account key') yield { from: name, accountKey: await read(join(folder, name)) }
    if (kind === 'certificate') yield { from: name, pem: await read(join(folder, name)) }
  }
}

/** A folder for each certificate, which certbot calls its lineage; beside them there is a README. */
export async function* fromCertbot(folder: string): AsyncGenerator<Found> {
  for (const { name } of (await list(folder)).filter((entry) => entry.isDirectory())) {
    const file = (called: string) => join(folder, name, called)
    // One that is incomplete, as certbot leaves them behind, keeps no others back.
    const found = await pair(file('privkey.pem'), file('fullchain.pem')).then(
      (pem) => ({ pem }),
      whyUnreadable,
    )
    yield { from: name, ...found }
  }
}

export async function* fromFiles(keyFile: string, chainFile: string): AsyncGenerator<Found> {
  yield { from: chainFile, pem: await pair(keyFile, chainFile) }
}

function whyUnreadable(thrown: unknown): { unreadable: string } {
  if (thrown instanceof CommandError) return { unreadable: thrown.message }
  throw thrown
}

/** The first key of the one file and the certificates of the other. */
async function pair(keyFile: string, chainFile: string): Promise<string> {
  return `${(await read(keyFile)).trimEnd()}\n${await read(chainFile)}`
}

async function list(folder: string) {
  try {
    const entries = await readdir(folder, { withFileTypes: true })
    return entries.sort((a, b) => (a.name < b.name ? -1 : 1))
  } catch (thrown) {
    throw fileError(thrown, 'read', folder)
  }
}

async function read(file: string): Promise<string> {
  try {
    return await readFile(file, 'latin1')
  } catch (thrown) {
    throw fileError(thrown, 'read', file)
  }
}
