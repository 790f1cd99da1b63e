import { advice, tokenAdvice } from '../../stores/azure/errors.js'
import { StoreError, toError } from '../../util/errors.js'
import { printable } from './arguments.js'

/** One line about anything that was thrown; what the library advises in the words of the command. */
export function messageOf(thrown: unknown): string {
  const error = toError(thrown)
  const message = firstLine(error.message)
  if (!(error instanceof StoreError)) return message
  if (error.code === 'ERR_STORE_FAILED' && message.endsWith(advice.ERR_STORE_FAILED)) {
    const { message: said = '' } = Object(error.cause) as { message?: string }
    const parts = [message.slice(0, -advice.ERR_STORE_FAILED.length).trim(), sentence(said), whatToDo(error)]
    return parts.filter((part) => part !== '').join(' ')
  }
  return message
    .replace(
      advice.ERR_STORE_CONTAINER,
      'Create the container with az storage container create, or check --container and --account.',
    )
    .replace(
      tokenAdvice,
      'Set AZURE_STORAGE_KEY, AZURE_STORAGE_SAS_TOKEN or AZURE_STORAGE_CONNECTION_STRING, or log in with az login.',
    )
}

function whatToDo({ statusCode: status = 0 }: StoreError): string {
  if (status >= 500 || status === 429)
    return 'Try again; if it stays so, see the storage account’s health in the portal.'
  if (status === 409 || status === 412) return 'See the blob in the portal.'
  return 'Check --endpoint: it takes the URL of a Blob service, an emulator’s with the account as its path.'
}

const sentence = (said: string): string => firstLine(said).replace(/(?<=[^.])$/, '.')

const firstLine = (text: string): string => printable((text.split('\n', 1)[0] as string).trim())
