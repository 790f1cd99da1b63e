import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseKey } from '../../certificates/storage-layout.js'
import { CommandError } from '../console/errors.js'
import { toFileError } from '../console/files.js'

/** A key and its chain, or an account key, read from a file or folder called `source`. */
export type ImportItem = { readonly source: string } & (
  | {
      /** A private key and its chain. */
      readonly pem: string
    }
  | { readonly accountKey: string }
  | {
      /** Why the files cannot be read. */
      readonly readError: string
    }
)

/** Reads the folder of Go's `autocert.DirCache`. Its file names are autocert's cache keys. */
export async function* readAutocertFolder(folder: string): AsyncGenerator<ImportItem> {
  const files = (await listFolder(folder)).filter((entry) => entry.isFile())
  for (const { name } of files) {
    const { kind } = parseKey(name)
    if (kind === 'account key' || kind === 'legacy account key')
      yield { source: name, accountKey: await readText(join(folder, name)) }
    if (kind === 'certificate') yield { source: name, pem: await readText(join(folder, name)) }
  }
}

/** Reads certbot's `live` folder, which has one subfolder per certificate. */
export async function* readCertbotFolder(folder: string): AsyncGenerator<ImportItem> {
  for (const { name } of (await listFolder(folder)).filter((entry) => entry.isDirectory())) {
    const keyFile = join(folder, name, 'privkey.pem')
    const chainFile = join(folder, name, 'fullchain.pem')
    // Certbot may leave incomplete subfolders. They must not prevent the import of the others.
    const content = await readKeyAndChain(keyFile, chainFile).then((pem) => ({ pem }), toReadError)
    yield { source: name, ...content }
  }
}

export async function* readKeyAndChainFiles(keyFile: string, chainFile: string): AsyncGenerator<ImportItem> {
  yield { source: chainFile, pem: await readKeyAndChain(keyFile, chainFile) }
}

function toReadError(thrown: unknown): { readError: string } {
  if (thrown instanceof CommandError) return { readError: thrown.message }
  throw thrown
}

async function readKeyAndChain(keyFile: string, chainFile: string): Promise<string> {
  return `${(await readText(keyFile)).trimEnd()}\n${await readText(chainFile)}`
}

async function listFolder(folder: string) {
  try {
    const entries = await readdir(folder, { withFileTypes: true })
    return entries.sort((a, b) => (a.name < b.name ? -1 : 1))
  } catch (thrown) {
    throw toFileError(thrown, 'read', folder)
  }
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'latin1')
  } catch (thrown) {
    throw toFileError(thrown, 'read', file)
  }
}
