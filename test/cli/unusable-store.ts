import { ContainerSASPermissions } from '@azure/storage-blob'
import { azurite, freshContainer } from '../support/azure.js'
import { accessTo } from '../support/cli.js'
import { keepSecret } from '../support/operator.js'

/** A store that the command cannot use, and the expected error message. */
export interface UnusableStore {
  readonly name: string
  readonly flags: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly message: RegExp
}

/** Each command that reads the container, with the arguments that it needs. */
export const commands = [
  ['ls'],
  ['ls', '--json', '--sort', 'host'],
  ['show', 'a.example'],
  ['export', 'a.example', '--key', '/nowhere/key', '--chain', '/nowhere/chain'],
  ['rm', 'a.example', '--yes'],
  ['clean', '--yes'],
] as const

export const wrongKey = { AZURE_STORAGE_KEY: Buffer.from('a wrong key').toString('base64') }
keepSecret(wrongKey.AZURE_STORAGE_KEY)

export async function unusableStores(): Promise<UnusableStore[]> {
  const { connect, client } = await freshContainer()
  const { flags, env } = accessTo(connect.containerName)
  const sasOf = async (permissions: string, expiresOn: Date) => {
    const url = await client.generateSasUrl({
      permissions: ContainerSASPermissions.parse(permissions),
      startsOn: new Date(Date.now() - 7_200_000),
      expiresOn,
    })
    return { AZURE_STORAGE_SAS_TOKEN: new URL(url).search }
  }
  return [
    {
      name: 'no container',
      flags: accessTo('is-not-there').flags,
      env,
      message: /Create the container/,
    },
    {
      name: 'wrong key',
      flags,
      env: { AZURE_STORAGE_ACCOUNT: azurite().accountName, ...wrongKey },
      message: /Check the account name and key/,
    },
    {
      name: 'no permission',
      flags,
      env: await sasOf('c', new Date(Date.now() + 600_000)),
      message: /use a SAS with the permissions read/,
    },
    {
      name: 'expired',
      flags,
      env: await sasOf('rl', new Date(Date.now() - 3_600_000)),
      message: /SAS or token has expired/,
    },
    {
      name: 'unreachable',
      flags: accessTo('certs', 'http://127.0.0.1:1/fleet').flags,
      env,
      message: /firewall blocks/,
    },
    {
      name: 'no such name',
      flags: accessTo('certs', 'http://nowhere.invalid/fleet').flags,
      env,
      message: /DNS/,
    },
  ]
}
