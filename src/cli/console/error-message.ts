import { advice, endpointAdvice, tokenAdvice } from '../../stores/azure/errors.js'
import { endSentence, StoreError, toError } from '../../util/errors.js'
import { replaceControlCharacters } from './format.js'

/** Returns one line that describes any thrown value. Advice about the library's options becomes advice about flags. */
export function formatError(thrown: unknown): string {
  const error = toError(thrown)
  const message = firstLine(error.message)
  if (!(error instanceof StoreError)) return message
  const generalAdvice = [advice.ERR_STORE_FAILED, endpointAdvice].find((text) => message.endsWith(text))
  if (error.code === 'ERR_STORE_FAILED' && generalAdvice) {
    const { message: serviceMessage = '' } = Object(error.cause) as { message?: string }
    const summary = message.slice(0, -generalAdvice.length).trim()
    const sentences = [summary, toSentence(serviceMessage), adviceForStatus(error)]
    return sentences.filter((sentence) => sentence !== '').join(' ')
  }
  return message
    .replace(
      advice.ERR_STORE_CONTAINER,
      'Create the container with "az storage container create", or check --container and --account.',
    )
    .replace(
      tokenAdvice,
      'Set AZURE_STORAGE_KEY, AZURE_STORAGE_SAS_TOKEN or AZURE_STORAGE_CONNECTION_STRING, or log in with "az login".',
    )
}

function adviceForStatus({ statusCode: status = 0 }: StoreError): string {
  if (status >= 500 || status === 429)
    return "Try again. If the error persists, check the storage account's health in the Azure portal."
  if (status === 409 || status === 412) return 'Check the blob in the Azure portal.'
  return endpointAdvice.replace('the endpoint', '--endpoint')
}

/** Returns the first line, with a full stop. Returns an empty text unchanged. */
export const toSentence = (text: string): string => endSentence(firstLine(text))

const firstLine = (text: string): string =>
  replaceControlCharacters((text.split('\n', 1)[0] as string).trim())
