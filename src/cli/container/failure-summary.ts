import type { FailureRecord } from '../../issuance/store/records.js'
import { replaceControlCharacters } from '../console/format.js'

/** A failure record as `--json` shows it. */
export interface FailureSummary {
  readonly failures: number
  readonly retryAt: Date
  readonly message: string
}

export const summariseFailure = ({ failures, retryAt, message }: FailureRecord): FailureSummary => ({
  failures,
  retryAt: new Date(retryAt),
  message: replaceControlCharacters(message),
})
